use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn block(id: i64, stream: Stream) -> StoredBlock {
    StoredBlock {
        id,
        number: BlockNumber {
            epoch: Epoch {
                counter: 1,
                nonce: 1,
            },
            stream,
            seq: id.cast_unsigned(),
        },
        digest: Digest([id as u8; 16]),
        samples: 1,
        bytes: vec![0; 1000],
    }
}

/// An outbox, the ledger under it, and the time.
struct Desk {
    outbox: Outbox,
    ledger: Vec<StoredBlock>,
    now: Instant,
}

impl Desk {
    fn new(ledger: impl IntoIterator<Item = (i64, Stream)>) -> Self {
        let now = Instant::now();
        let ledger = ledger.into_iter().map(|(id, stream)| block(id, stream));
        let mut outbox = Outbox::new(now);
        // It has answered our hello.
        outbox.cloud_speaks(now);
        Self {
            outbox,
            ledger: ledger.collect(),
            now,
        }
    }

    fn find(&self, ask: &Ask) -> Vec<StoredBlock> {
        let mut found: Vec<_> = self
            .ledger
            .iter()
            .filter(|block| priority(block.number.stream) == ask.priority && block.id > ask.after)
            .cloned()
            .collect();
        found.sort_by_key(|block| if ask.newest { -block.id } else { block.id });
        found.truncate(ask.limit as usize);
        found
    }

    /// Sends what may go out, up to `most` blocks; returns their places in the order in which they went.
    fn send(&mut self, most: usize) -> Vec<i64> {
        let mut sent = Vec::new();
        self.outbox.pass(self.now);
        'again: loop {
            for ask in self.outbox.asks(|_| true, self.now) {
                let found = self.find(&ask);
                for block in &found {
                    if sent.len() == most || !self.outbox.has_room(ask.urgency) {
                        return sent;
                    }
                    if let Offer::Send { .. } = self.outbox.offer(&ask, block, true, self.now) {
                        sent.push(block.id);
                    }
                }
                self.outbox.exhausted(&ask, found.len());
                if !found.is_empty() {
                    continue 'again;
                }
            }
            return sent;
        }
    }

    fn answer(&mut self, id: i64) {
        let block = self.block(id);
        self.outbox.answered(&block.number, &block.digest, self.now);
        self.ledger.retain(|block| block.id != id);
    }

    fn block(&self, id: i64) -> StoredBlock {
        self.ledger
            .iter()
            .find(|block| block.id == id)
            .unwrap()
            .clone()
    }
}

#[test]
fn the_order_is_columns_transactions_newest_critical_newest_live_then_the_oldest() {
    let bulk = (1..4).map(|id| (id, Stream::Bulk));
    let live = (4..24).map(|id| (id, Stream::Live));
    let critical = (24..36).map(|id| (id, Stream::Critical));
    let dear = [(36, Stream::Transactions), (37, Stream::Columns)];
    let mut desk = Desk::new(bulk.chain(live).chain(critical).chain(dear));
    let mut expected = vec![37, 36];
    expected.extend((28..36).rev());
    expected.extend((16..24).rev());
    expected.extend(24..28);
    expected.extend(4..16);
    expected.extend(1..4);
    assert_eq!(desk.send(100), expected);
    assert!(desk.send(100).is_empty());
    // What comes now goes before all that is left, and once.
    desk.ledger.push(block(40, Stream::Live));
    desk.outbox.news();
    assert_eq!(desk.send(100), [40]);
}

#[test]
fn backlog_leaves_room_for_what_is_fresh() {
    let mut desk = Desk::new((1..200).map(|id| (id, Stream::Bulk)));
    assert_eq!(desk.send(1000).len(), MOST_FLYING - 16);
    desk.ledger
        .extend((200..240).map(|id| block(id, Stream::Live)));
    desk.ledger
        .extend((240..280).map(|id| block(id, Stream::Critical)));
    desk.outbox.news();
    // Eight alarms: then live keeps the last places free for the next ones.
    assert_eq!(desk.send(1000), (272..280).rev().collect::<Vec<_>>());
    for id in 1..9 {
        desk.answer(id);
    }
    assert_eq!(desk.send(1000), (232..240).rev().collect::<Vec<_>>());
}

#[test]
fn an_unanswered_block_goes_out_again_at_doubling_intervals() {
    let mut desk = Desk::new([(5, Stream::Live)]);
    let start = desk.now;
    let mut sent = Vec::new();
    for second in 0..700 {
        desk.now = start + SECOND * second;
        if desk.send(9) == [5] {
            sent.push(second);
        }
    }
    // After 10, 20, 40, 80, 160 and then 300 s.
    assert_eq!(sent, [0, 10, 30, 70, 150, 310, 610]);
}

#[test]
fn the_first_wait_is_four_times_the_usual_one_when_that_is_longer() {
    let mut desk = Desk::new((1..60).map(|id| (id, Stream::Transactions)));
    for id in 1..50 {
        assert_eq!(desk.send(1), [id]);
        desk.now += SECOND * 5;
        desk.answer(id);
    }
    assert_eq!(desk.send(1), [50]);
    desk.now += SECOND * 19;
    assert_eq!(desk.send(1), [51]);
    desk.now += SECOND;
    assert_eq!(desk.send(1), [50]);
}

#[test]
fn blocks_that_nobody_answers_hold_nothing_up() {
    let mut desk = Desk::new((1..500).map(|id| (id, Stream::Bulk)));
    let mut answered = Vec::new();
    for second in 0..200 {
        if second % 60 == 0 {
            desk.outbox.cloud_speaks(desk.now);
        }
        for id in desk.send(1000) {
            // The cloud has no word for the first two hundred.
            if id > 200 {
                desk.answer(id);
                answered.push(id);
            }
        }
        desk.now += SECOND;
    }
    answered.sort_unstable();
    assert_eq!(answered, (201..500).collect::<Vec<_>>());
}

#[test]
fn when_the_cloud_is_back_all_that_waits_goes_out_again() {
    let mut desk = Desk::new((1..4).map(|id| (id, Stream::Critical)));
    assert_eq!(desk.send(9), [3, 2, 1]);
    desk.answer(3);
    for _ in 0..100 {
        desk.now += SECOND;
        desk.send(9);
    }
    assert!(desk.send(9).is_empty());
    desk.ledger.push(block(9, Stream::Critical));
    desk.outbox.news();
    assert_eq!(desk.send(9), [9]);
    desk.answer(9);
    assert_eq!(desk.send(9), [1, 2]);
}

#[test]
fn a_cloud_that_is_away_is_not_sent_what_may_be_dropped() {
    let mut desk = Desk::new((1..500).map(|id| (id, Stream::Bulk)));
    let mut seen = std::collections::BTreeSet::new();
    let mut run = |desk: &mut Desk, seconds: i64| {
        for _ in 0..seconds {
            let next = desk.ledger.len() as i64 + 1;
            desk.ledger.push(block(next, Stream::Live));
            if next % 100 == 0 {
                desk.ledger.push(block(next + 1, Stream::Critical));
            }
            desk.outbox.news();
            seen.extend(desk.send(1000));
            desk.now += SECOND;
        }
        let critical = |id: &&i64| desk.block(**id).number.stream == Stream::Critical;
        (seen.len(), seen.iter().filter(critical).count())
    };
    // It dies, and the broker takes everything for a day.
    let (known, alarms) = run(&mut desk, 3600);
    assert!(known - alarms <= 256, "{known} blocks were handed out");
    let (later, more_alarms) = run(&mut desk, 3600);
    assert_eq!(later - more_alarms, known - alarms);
    assert!(alarms > 30 && more_alarms > alarms + 30, "alarms go on");
    // So little for each new connection.
    desk.outbox = Outbox::new(desk.now);
    let (anew, alarms) = run(&mut desk, 3600);
    assert!(anew - alarms <= later - more_alarms + IN_THE_DARK + 8);
    // One word, and all goes on.
    desk.outbox.cloud_speaks(desk.now);
    let (lit, alarms_in_light) = run(&mut desk, 10);
    assert!(lit - alarms_in_light > anew - alarms + 8);
}

#[test]
fn only_the_same_content_is_answered() {
    let mut desk = Desk::new([(5, Stream::Live)]);
    desk.send(9);
    let sent = desk.block(5);
    desk.outbox
        .answered(&sent.number, &Digest([9; 16]), desk.now);
    assert_eq!(desk.outbox.in_flight(), 1);
    for _ in 0..2 {
        desk.outbox.answered(&sent.number, &sent.digest, desk.now);
        assert_eq!((desk.outbox.in_flight(), desk.outbox.flying_bytes), (0, 0));
    }
    // It is remembered until the ledger must know; a ledger that still has it then is believed.
    desk.outbox.swept = desk.now;
    desk.outbox.places = [Place::default(); PRIORITIES];
    assert!(desk.send(9).is_empty());
    desk.now += REMEMBER;
    desk.outbox.places = [Place::default(); PRIORITIES];
    assert_eq!(desk.send(9), [5]);
}

#[test]
fn a_range_answers_what_it_covers() {
    let mut desk = Desk::new((1..7).map(|id| (id, Stream::Live)));
    desk.send(9);
    let epoch = desk.block(1).number.epoch;
    desk.outbox
        .answered_range(epoch, Stream::Live, (2, 4), desk.now);
    desk.outbox
        .answered_range(epoch, Stream::Bulk, (1, 9), desk.now);
    assert_eq!(desk.outbox.in_flight(), 3);
    desk.ledger.retain(|block| !(2..5).contains(&block.id));
    desk.now += SECOND * 10;
    assert_eq!(desk.send(9), [1, 5, 6]);
}

#[test]
fn missing_columns_go_first_and_the_block_follows_later_each_time() {
    let mut desk = Desk::new([(1, Stream::Columns), (2, Stream::Live)]);
    assert_eq!(desk.send(9), [1, 2]);
    let (columns, live) = (desk.block(1), desk.block(2));
    desk.answer(1);
    for wait in [1, 2, 4, 8] {
        // The ledger has marked the columns to be sent again.
        desk.ledger = vec![columns.clone(), live.clone()];
        desk.outbox
            .columns_needed(&live.number, &live.digest, desk.now);
        assert_eq!(desk.send(9), [1]);
        desk.answer(1);
        let asked = desk.now;
        desk.now = asked + SECOND * wait / 10 * 9;
        assert!(desk.send(9).is_empty());
        desk.now = asked + SECOND * wait;
        assert_eq!(desk.send(9), [2]);
    }
}

#[test]
fn a_block_that_is_too_long_is_passed_over_and_said_once() {
    let mut desk = Desk::new([(1, Stream::Bulk), (2, Stream::Bulk)]);
    let ask = desk.outbox.asks(|_| true, desk.now).pop().unwrap();
    let (long, short) = (desk.block(1), desk.block(2));
    assert_eq!(
        desk.outbox.offer(&ask, &long, false, desk.now),
        Offer::TooLong
    );
    assert_eq!(
        desk.outbox.offer(&ask, &short, true, desk.now),
        Offer::Send { again: false }
    );
    assert_eq!(desk.outbox.in_flight(), 1);
    desk.now += SWEEP;
    desk.outbox.pass(desk.now);
    let ask = desk.outbox.asks(|_| true, desk.now).pop().unwrap();
    assert_eq!(ask.after, 0);
    assert_eq!(
        desk.outbox.offer(&ask, &long, false, desk.now),
        Offer::Known
    );
}

#[test]
fn what_was_dropped_or_answered_otherwise_does_not_go_out_again() {
    let mut desk = Desk::new([(1, Stream::Bulk), (2, Stream::Bulk)]);
    assert_eq!(desk.send(9), [1, 2]);
    desk.ledger.retain(|block| block.id == 2);
    desk.now += SECOND * 10;
    assert_eq!(desk.send(9), [2]);
    assert_eq!(desk.outbox.flights.len(), 1);
    desk.ledger.clear();
    desk.now += SECOND * 20;
    assert!(desk.send(9).is_empty());
    assert!(desk.outbox.flights.is_empty() && desk.outbox.by_number.is_empty());
}

#[test]
fn memory_is_bounded() {
    let mut desk = Desk::new([]);
    for id in 1..=2 * MOST_KNOWN as i64 {
        let ask = Ask {
            priority: 4,
            after: id - 1,
            newest: false,
            limit: 1,
            urgency: Urgency::Backlog,
            again: None,
        };
        desk.outbox
            .offer(&ask, &block(id, Stream::Bulk), id % 2 == 0, desk.now);
        if id % 64 == 0 {
            desk.now += SECOND * 10;
            desk.outbox.pass(desk.now);
        }
    }
    assert!(desk.outbox.flights.len() <= MOST_KNOWN);
    assert_eq!(desk.outbox.flights.len(), desk.outbox.by_number.len());
}
