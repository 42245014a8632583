//! What a request needs the adapter to be set to, and the commands that do it.

use isotp::CanId;

use crate::route::Route;

/// What every session begins with: nothing is echoed, nothing is remembered, identifiers are shown, the adapter adds and
/// takes away the length of a frame and sends flow control, and learns how fast the vehicle is.
pub(crate) const SETUP: &[&str] = &[
    "ATE0", "ATL0", "ATS0", "ATM0", "ATH1", "ATCAF1", "ATCFC1", "ATAT1",
];

/// What the adapter is set to. It starts anew with every reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    protocol: Option<char>,
    header: Option<CanId>,
    /// The command that lets answers pass.
    filter: Option<String>,
    /// Identifier of flow control where the adapter would not find it by itself.
    flow: Option<CanId>,
    raw: bool,
    slow: bool,
}

impl Settings {
    /// The commands on the way to a request, and what is set when they are done.
    pub(crate) fn toward(&self, route: &Route, bitrate: u32, slow: bool) -> (Vec<String>, Self) {
        let mut commands = Vec::new();
        let mut now = self.clone();
        let id = route.request;
        let protocol = match (id.is_extended(), bitrate) {
            (false, 250_000) => '8',
            (true, 250_000) => '9',
            (false, _) => '6',
            (true, _) => '7',
        };
        if now.protocol != Some(protocol) {
            // A new protocol has its own identifiers.
            commands.push(format!("ATSP{protocol}"));
            (now.protocol, now.header, now.filter) = (Some(protocol), None, None);
        }
        if now.header != Some(id) {
            if id.is_extended() {
                commands.push(format!("ATCP{:02X}", id.raw() >> 24));
                commands.push(format!("ATSH{:06X}", id.raw() & 0xFF_FFFF));
            } else {
                commands.push(format!("ATSH{:03X}", id.raw()));
            }
            now.header = Some(id);
        }
        let filter = match route.response {
            Some(id) => format!("ATCRA{id}"),
            None => "ATAR".to_owned(),
        };
        if now.filter.as_ref() != Some(&filter) {
            commands.push(filter.clone());
            now.filter = Some(filter);
        }
        let flow = (!route.flow_is_standard() && route.response.is_some()).then_some(id);
        if now.flow != flow {
            match flow {
                Some(id) => commands.extend([
                    format!("ATFCSH{id}"),
                    "ATFCSD300000".into(),
                    "ATFCSM1".into(),
                ]),
                None => commands.push("ATFCSM0".into()),
            }
            now.flow = flow;
        }
        if now.raw != route.prefixed {
            commands.push(format!("ATCAF{}", u8::from(!route.prefixed)));
            now.raw = route.prefixed;
        }
        if slow && !now.slow {
            commands.extend(["ATAT0".to_owned(), "ATSTFF".to_owned()]);
            now.slow = true;
        }
        (commands, now)
    }
}

/// Whether a request cannot be sent to where it belongs without this command.
pub(crate) fn is_vital(command: &str) -> bool {
    ["ATSH", "ATCP", "ATSP", "ATCAF0"]
        .iter()
        .any(|kind| command.starts_with(kind))
}

/// What a command is without its argument: an adapter knows it or not, whatever the argument.
pub(crate) fn kind(command: &str) -> &str {
    const WITH_ARGUMENT: [&str; 8] = [
        "ATFCSH", "ATFCSD", "ATFCSM", "ATCRA", "ATSH", "ATSP", "ATCP", "ATST",
    ];
    let kind = WITH_ARGUMENT
        .iter()
        .find(|kind| command.starts_with(**kind));
    kind.map_or(command, |kind| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_set() {
        let route = |request: &str| Route::standard(request.parse().unwrap());
        let (commands, now) = Settings::default().toward(&route("7E4"), 500_000, false);
        assert_eq!(commands, ["ATSP6", "ATSH7E4", "ATCRA7EC"]);
        let (commands, now) = now.toward(&route("7E4"), 500_000, false);
        assert_eq!(commands, [] as [&str; 0]);
        let (commands, now) = now.toward(&route("18DB33F1"), 500_000, true);
        assert_eq!(
            commands,
            ["ATSP7", "ATCP18", "ATSHDB33F1", "ATAR", "ATAT0", "ATSTFF"]
        );
        let leaf = Route {
            request: "79B".parse().unwrap(),
            response: "7BB".parse().ok(),
            prefixed: true,
        };
        let (commands, now) = now.toward(&leaf, 250_000, true);
        assert_eq!(
            commands,
            [
                "ATSP8",
                "ATSH79B",
                "ATCRA7BB",
                "ATFCSH79B",
                "ATFCSD300000",
                "ATFCSM1",
                "ATCAF0"
            ]
        );
        let (commands, _) = now.toward(&route("7E0"), 250_000, true);
        assert_eq!(commands, ["ATSH7E0", "ATCRA7E8", "ATFCSM0", "ATCAF1"]);
    }
}
