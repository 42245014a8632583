//! Which identifier answers to which.

use isotp::{Address, CanId, FunctionalAddress};

/// A request's identifier and what answers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Identifier of the request.
    pub request: CanId,
    /// Identifier of the answer; `None` if several ECUs answer.
    pub response: Option<CanId>,
    /// Whether an address byte stands in front of each frame's data (extended and mixed addressing).
    pub prefixed: bool,
}

impl Route {
    /// The route that a connection takes.
    pub fn of(address: &Address) -> Self {
        Self {
            request: address.tx_id(),
            response: Some(address.rx_id()),
            prefixed: address.tx_prefix().is_some(),
        }
    }

    /// The route that follows from the request alone (ISO 15765-4): `7E8` answers to `7E0`, `18DAF110` to `18DA10F1`, any
    /// ECU to `7DF` and `18DB33F1`.
    pub fn standard(request: CanId) -> Self {
        let response = match request.raw() {
            raw @ 0x7E0..=0x7E7 if !request.is_extended() => CanId::standard(raw + 8).ok(),
            raw if request.is_extended() && raw & 0x1FFF_00FF == 0x18DA_00F1 => {
                CanId::extended(0x18DA_F100 | (raw >> 8 & 0xFF)).ok()
            }
            _ => None,
        };
        Self {
            request,
            response,
            prefixed: false,
        }
    }

    /// Whether the adapter finds the identifier for flow control by itself.
    pub(crate) fn flow_is_standard(&self) -> bool {
        !self.prefixed && *self == Self::standard(self.request)
    }

    /// Whether a frame with this identifier can be an answer.
    pub(crate) fn takes(&self, id: CanId) -> bool {
        match self.response {
            Some(response) => response == id,
            None if self.request.is_extended() => {
                id.is_extended() && id.raw() & 0x1FFF_FF00 == 0x18DA_F100
            }
            None if self.request == FunctionalAddress::OBD_11.id => {
                !id.is_extended() && (0x7E8..=0x7EF).contains(&id.raw())
            }
            None => !id.is_extended(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_the_standard() {
        let id = |text: &str| text.parse::<CanId>().unwrap();
        assert_eq!(Route::standard(id("7E4")).response, Some(id("7EC")));
        assert_eq!(
            Route::standard(id("18DA10F1")).response,
            Some(id("18DAF110"))
        );
        let all = Route::standard(id("7DF"));
        assert_eq!(all.response, None);
        assert!(all.takes(id("7E9")) && !all.takes(id("7E7")) && !all.takes(id("18DAF110")));
        assert!(Route::standard(id("18DB33F1")).takes(id("18DAF110")));
        let leaf = Route::of(&Address::normal(id("79B"), id("7BB")));
        assert!(!leaf.flow_is_standard() && leaf.takes(id("7BB")) && !leaf.takes(id("7E8")));
    }
}
