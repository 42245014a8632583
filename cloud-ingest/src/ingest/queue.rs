//! What waits for a transaction: bounded, fair over gateways, dear before cheap.
//!
//! Pure bookkeeping. Each lane goes round the gateways that have something in it, one item at a time, so that a
//! gateway with an hour of backlog costs the others nothing. A gateway of which a batch is being written is *busy*:
//! nothing more of it is handed out until that batch is done, so its blocks are never in two transactions at once. Of a batch,
//! which ends for all of it at the same time, one gateway has a share of the bytes and no more.

use std::collections::{HashMap, VecDeque};

use shared_protocol::GatewayId;

/// Where an item waits; the dearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// First words of gateways.
    Hello,
    /// Blocks of class `critical`.
    Critical,
    /// Blocks of class `live`.
    Live,
    /// Blocks of class `bulk`.
    Bulk,
}

impl Lane {
    /// All of them, dearest first.
    pub const ALL: [Self; 4] = [Self::Hello, Self::Critical, Self::Live, Self::Bulk];
}

/// Whose an item is, as its topic says; `None` when the topic names no gateway.
pub type Who = Option<GatewayId>;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes in all, those being written included.
    pub total: usize,
    /// Bytes of one gateway.
    pub per_gateway: usize,
    /// Bytes of one gateway in a batch, but for its first item.
    pub share: usize,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There is no room for anybody.
    Total,
    /// This gateway has too much waiting already.
    Gateway,
}

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    lanes: [Ring<T>; Lane::ALL.len()],
    gateways: HashMap<Who, Gateway>,
    limits: Limits,
    bytes: usize,
    /// Items of gateways that are not busy.
    ready: usize,
}

/// The items of one lane, and whose turn it is.
#[derive(Debug)]
struct Ring<T> {
    turns: VecDeque<Who>,
    items: HashMap<Who, VecDeque<(usize, T)>>,
}

#[derive(Debug, Default)]
struct Gateway {
    bytes: usize,
    waiting: usize,
    busy: bool,
}

/// Items that were handed out together; give it back to [`Queue::done`].
#[derive(Debug)]
#[must_use = "its gateways stay busy until it is given back"]
pub struct Batch<T> {
    /// The items, in the order in which they should be looked at.
    pub items: Vec<(Lane, T)>,
    bytes: HashMap<Who, usize>,
}

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self {
            lanes: std::array::from_fn(|_| Ring {
                turns: VecDeque::new(),
                items: HashMap::new(),
            }),
            gateways: HashMap::new(),
            limits,
            bytes: 0,
            ready: 0,
        }
    }

    /// Puts an item of so many bytes behind the others of its gateway; a full queue gives it back. Whatever its
    /// size, an item is taken into an empty queue.
    pub fn push(&mut self, lane: Lane, who: Who, bytes: usize, item: T) -> Result<(), (Full, T)> {
        if self.bytes > 0 && self.bytes + bytes > self.limits.total {
            return Err((Full::Total, item));
        }
        let gateway = self.gateways.entry(who.clone()).or_default();
        if gateway.bytes > 0 && gateway.bytes + bytes > self.limits.per_gateway {
            return Err((Full::Gateway, item));
        }
        gateway.bytes += bytes;
        gateway.waiting += 1;
        self.bytes += bytes;
        if !gateway.busy {
            self.ready += 1;
        }
        let ring = &mut self.lanes[lane as usize];
        let items = ring.items.entry(who.clone()).or_default();
        if items.is_empty() {
            ring.turns.push_back(who);
        }
        items.push_back((bytes, item));
        Ok(())
    }

    /// Hands out at most so many items and (but for the first) bytes. Dear lanes go first, but an eighth of the batch is
    /// kept for each lane below that has something: without end, live blocks would starve the backlog.
    pub fn take(&mut self, most_items: usize, most_bytes: usize) -> Batch<T> {
        let mut batch = Batch {
            items: Vec::new(),
            bytes: HashMap::new(),
        };
        let mut bytes = 0;
        let kept = most_items / 8;
        for lane in Lane::ALL {
            let below = Lane::ALL[lane as usize + 1..]
                .iter()
                .filter(|lane| !self.lanes[**lane as usize].turns.is_empty())
                .count();
            let most = most_items
                .saturating_sub(kept * below)
                .max(batch.items.len() + 1)
                .min(most_items);
            self.take_lane(lane, most, most_bytes, &mut bytes, &mut batch);
        }
        for who in batch.bytes.keys() {
            if let Some(gateway) = self.gateways.get_mut(who) {
                gateway.busy = true;
                self.ready -= gateway.waiting;
            }
        }
        batch
    }

    fn take_lane(
        &mut self,
        lane: Lane,
        most: usize,
        most_bytes: usize,
        bytes: &mut usize,
        batch: &mut Batch<T>,
    ) {
        let ring = &mut self.lanes[lane as usize];
        // So many gateways in a row were busy, or have had their share: a whole round is the end.
        let mut passed = 0;
        while batch.items.len() < most && passed < ring.turns.len() {
            let Some(who) = ring.turns.pop_front() else {
                return;
            };
            let gateway = self.gateways.get_mut(&who);
            let (Some(gateway), Some(items)) = (gateway, ring.items.get_mut(&who)) else {
                continue;
            };
            let size = items.front().map_or(0, |(size, _)| *size);
            if !batch.items.is_empty() && *bytes + size > most_bytes {
                ring.turns.push_front(who);
                return;
            }
            let had = batch.bytes.get(&who).copied().unwrap_or(0);
            if gateway.busy || (had > 0 && had + size > self.limits.share) {
                ring.turns.push_back(who);
                passed += 1;
                continue;
            }
            passed = 0;
            if let Some((size, item)) = items.pop_front() {
                gateway.waiting -= 1;
                self.ready -= 1;
                *bytes += size;
                *batch.bytes.entry(who.clone()).or_default() += size;
                batch.items.push((lane, item));
            }
            if items.is_empty() {
                ring.items.remove(&who);
            } else {
                ring.turns.push_back(who);
            }
        }
    }

    /// A batch has been dealt with, one way or another: its room is free and its gateways can go on.
    pub fn done(&mut self, bytes: HashMap<Who, usize>) {
        for (who, size) in bytes {
            self.bytes -= size;
            if let Some(gateway) = self.gateways.get_mut(&who) {
                gateway.bytes -= size;
                gateway.busy = false;
                self.ready += gateway.waiting;
                if gateway.waiting == 0 {
                    self.gateways.remove(&who);
                }
            }
        }
    }

    /// Items that [`Queue::take`] could hand out now.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Bytes that wait or are being written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an item of so many bytes would find room.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= self.limits.total
    }
}

impl<T> Batch<T> {
    /// The items, and what [`Queue::done`] wants back.
    pub fn split(self) -> (Vec<(Lane, T)>, HashMap<Who, usize>) {
        (self.items, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[allow(clippy::unnecessary_wraps, reason = "it stands where a Who does")]
    fn who(name: &str) -> Who {
        Some(name.parse().unwrap())
    }

    fn queue(total: usize, per_gateway: usize) -> Queue<u32> {
        Queue::new(Limits {
            total,
            per_gateway,
            share: usize::MAX,
        })
    }

    fn numbers(batch: &Batch<u32>) -> Vec<u32> {
        batch.items.iter().map(|(_, item)| *item).collect()
    }

    #[test]
    fn gateways_take_turns_and_dear_lanes_go_first() {
        let mut queue = queue(1000, 1000);
        for number in 0..4 {
            queue.push(Lane::Live, who("a"), 1, number).unwrap();
        }
        queue.push(Lane::Live, who("b"), 1, 10).unwrap();
        queue.push(Lane::Bulk, who("c"), 1, 20).unwrap();
        queue.push(Lane::Critical, who("c"), 1, 30).unwrap();
        queue.push(Lane::Hello, None, 1, 40).unwrap();
        let batch = queue.take(100, 100);
        assert_eq!(numbers(&batch), [40, 30, 0, 10, 1, 2, 3, 20]);
        queue.done(batch.split().1);
        assert_eq!(
            (queue.bytes(), queue.ready(), queue.gateways.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_gateway_has_its_share_of_a_batch() {
        let mut queue = Queue::new(Limits {
            total: 1000,
            per_gateway: 1000,
            share: 50,
        });
        for number in 0..5 {
            queue.push(Lane::Live, who("a"), 20, number).unwrap();
        }
        queue.push(Lane::Bulk, who("a"), 20, 5).unwrap();
        queue.push(Lane::Bulk, who("b"), 200, 10).unwrap();
        queue.push(Lane::Bulk, who("b"), 1, 11).unwrap();
        let batch = queue.take(100, 1000);
        assert_eq!(numbers(&batch), [0, 1, 10]);
        queue.done(batch.split().1);
        let mut rest = Vec::new();
        loop {
            let batch = queue.take(100, 1000);
            if batch.items.is_empty() {
                break;
            }
            rest.push(numbers(&batch));
            queue.done(batch.split().1);
        }
        assert_eq!(rest, [vec![2, 3, 11], vec![4, 5]]);
        assert_eq!((queue.bytes(), queue.ready()), (0, 0));
    }

    #[test]
    fn nothing_starves() {
        let mut queue = queue(1000, 1000);
        for number in 0..100 {
            queue.push(Lane::Live, who("a"), 1, number).unwrap();
        }
        for number in 100..104 {
            queue.push(Lane::Bulk, who("b"), 1, number).unwrap();
        }
        let batch = queue.take(16, 1000);
        assert_eq!(numbers(&batch), (0..14).chain(100..102).collect::<Vec<_>>());
        queue.done(batch.split().1);
    }

    #[test]
    fn a_gateway_is_in_one_batch_at_a_time() {
        let mut queue = queue(1000, 1000);
        for number in 0..3 {
            queue.push(Lane::Live, who("a"), 1, number).unwrap();
        }
        let first = queue.take(2, 1000);
        assert_eq!((numbers(&first), queue.ready()), (vec![0, 1], 0));
        queue.push(Lane::Critical, who("a"), 1, 3).unwrap();
        queue.push(Lane::Live, who("b"), 1, 4).unwrap();
        let second = queue.take(10, 1000);
        assert_eq!(numbers(&second), [4]);
        queue.done(first.split().1);
        assert_eq!(queue.ready(), 2);
        let third = queue.take(10, 1000);
        assert_eq!(numbers(&third), [3, 2]);
        queue.done(third.split().1);
        queue.done(second.split().1);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn what_does_not_fit_comes_back() {
        let mut queue = queue(10, 6);
        queue.push(Lane::Live, who("a"), 20, 0).unwrap();
        assert_eq!(
            queue.push(Lane::Live, who("b"), 1, 1),
            Err((Full::Total, 1))
        );
        let batch = queue.take(1, 1);
        assert_eq!(numbers(&batch), [0]);
        assert!(!queue.has_room(1));
        queue.done(batch.split().1);
        queue.push(Lane::Live, who("a"), 4, 2).unwrap();
        assert_eq!(
            queue.push(Lane::Bulk, who("a"), 3, 3),
            Err((Full::Gateway, 3))
        );
        queue.push(Lane::Live, who("b"), 6, 4).unwrap();
        assert_eq!(
            queue.push(Lane::Live, who("b"), 1, 5),
            Err((Full::Total, 5))
        );
    }

    proptest! {
        /// Whatever happens in whatever order: everything that was taken in comes out once, each gateway's lane in
        /// order, no gateway is in two batches, and the counts agree.
        #[test]
        fn nothing_is_lost_or_doubled(
            steps in proptest::collection::vec((0u8..4, 0usize..4, 0usize..5, 1usize..9), 1..200),
        ) {
            let mut queue = Queue::new(Limits { total: 60, per_gateway: 25, share: 12 });
            let names = [who("a"), who("b"), who("c"), who("d"), None];
            let (mut next, mut inside) = (0u32, Vec::new());
            let mut out: Vec<Batch<(u32, usize)>> = Vec::new();
            let mut seen: HashMap<(Lane, usize), u32> = HashMap::new();
            for (what, lane, name, size) in steps {
                match what {
                    0 | 1 => {
                        next += 1;
                        if queue.push(Lane::ALL[lane], names[name].clone(), size, (next, name)).is_ok() {
                            inside.push(next);
                        }
                    }
                    2 => {
                        let batch = queue.take(size, size * 3);
                        for (lane, (number, name)) in &batch.items {
                            prop_assert!(inside.contains(number));
                            inside.retain(|other| other != number);
                            let before = seen.insert((*lane, *name), *number);
                            prop_assert!(before.is_none_or(|before| before < *number));
                            prop_assert!(out.iter().all(|other| !other.bytes.contains_key(&names[*name])));
                        }
                        out.push(batch);
                    }
                    _ => {
                        if !out.is_empty() {
                            let batch = out.remove(lane % out.len());
                            queue.done(batch.split().1);
                        }
                    }
                }
                prop_assert!(queue.bytes() <= 60 + 8);
            }
            for batch in out.drain(..) {
                queue.done(batch.split().1);
            }
            prop_assert_eq!(queue.ready(), inside.len());
            while queue.ready() > 0 {
                let batch = queue.take(1, 1);
                prop_assert_eq!(batch.items.len(), 1);
                queue.done(batch.split().1);
            }
            prop_assert_eq!((queue.bytes(), queue.gateways.len()), (0, 0));
        }
    }
}
