//! Acknowledgements to the broker in the order in which its messages came (MQTT 5, 4.6.0-2), although
//! they are dealt with in another.

use std::collections::VecDeque;

/// What of one connection has not been acknowledged to the broker yet. `A` is the acknowledgement to be sent.
#[derive(Debug)]
pub struct Window<A> {
    first: u64,
    slots: VecDeque<(A, bool)>,
}

impl<A> Default for Window<A> {
    fn default() -> Self {
        Self {
            first: 0,
            slots: VecDeque::new(),
        }
    }
}

impl<A> Window<A> {
    /// A message came; returns its place.
    pub fn open(&mut self, ack: A) -> u64 {
        self.slots.push_back((ack, false));
        self.first + self.slots.len() as u64 - 1
    }

    /// The message at a place has been dealt with; `change` may alter its acknowledgement. Sends every acknowledgement
    /// that has none before it any more.
    pub fn settle(&mut self, place: u64, change: impl FnOnce(&mut A), mut send: impl FnMut(A)) {
        let index = usize::try_from(place.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if let Some((ack, settled)) = self.slots.get_mut(index) {
            change(ack);
            *settled = true;
        }
        while self.slots.front().is_some_and(|(_, settled)| *settled) {
            if let Some((ack, _)) = self.slots.pop_front() {
                self.first += 1;
                send(ack);
            }
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn acknowledgements_go_out_in_the_order_of_arrival(order in Just((0u64..40).collect::<Vec<_>>()).prop_shuffle()) {
            let mut window = Window::default();
            let mut sent = Vec::new();
            for number in 0..20 {
                prop_assert_eq!(window.open((number, false)), number);
            }
            let mut opened = 20;
            for (step, &place) in order.iter().enumerate() {
                if opened <= place {
                    continue;
                }
                window.settle(place, |ack| ack.1 = true, |ack| sent.push(ack));
                // What was settled twice changes nothing more.
                window.settle(place, |_| (), |ack| sent.push(ack));
                if step % 2 == 0 && opened < 40 {
                    prop_assert_eq!(window.open((opened, false)), opened);
                    opened += 1;
                }
            }
            for place in 0..opened {
                window.settle(place, |ack| ack.1 = true, |ack| sent.push(ack));
            }
            prop_assert_eq!(sent, (0..opened).map(|n| (n, true)).collect::<Vec<_>>());
            prop_assert!(window.is_empty());
        }
    }
}
