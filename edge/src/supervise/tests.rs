//! Loops that fail on purpose. The clock is paused and runs ahead whenever everybody waits.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::sleep;

use super::*;

const LONGEST_STANDSTILL: Duration = Duration::from_secs(30);

/// A loop that counts its rounds, kept by a supervisor that runs.
struct Place {
    supervisor: Supervisor,
    rounds: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    verdict: tokio::task::JoinHandle<Result<(), Immovable>>,
    kept: tokio::task::JoinHandle<()>,
}

impl Place {
    fn new(spec: Spec) -> Self {
        let supervisor = Supervisor::new();
        let rounds = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = watch::channel(false);
        let count = rounds.clone();
        let kept = supervisor.keep(spec, stopped, move |beat| {
            let count = count.clone();
            async move {
                loop {
                    beat.pass().await;
                    count.fetch_add(1, Ordering::Relaxed);
                    beat.during(sleep(Duration::from_secs(300))).await;
                }
            }
        });
        let kept = tokio::spawn(kept);
        let running = supervisor.clone();
        let verdict = tokio::spawn(async move { running.run(&mut Feeder::default()).await });
        Self {
            supervisor,
            rounds,
            stop,
            verdict,
            kept,
        }
    }

    fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_waits_for_long_is_not_stuck() {
    let place = Place::new(Spec::new("loop", Duration::from_secs(15)).critical());
    for minute in 0..60 {
        sleep(Duration::from_secs(60)).await;
        assert_eq!(place.supervisor.look(Instant::now()), Ok(true), "{minute}");
    }
    let report = &place.supervisor.reports()[0];
    assert_eq!((report.stuck, report.panics), (0, 0));
    assert_eq!(place.rounds(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_hangs_or_panics_is_started_again_within_thirty_seconds() {
    for (drill, stuck, panics) in [(Drill::Hang, 1, 0), (Drill::Panic, 0, 1)] {
        let place = Place::new(Spec::new("loop", Duration::from_secs(20)).critical());
        sleep(Duration::from_secs(1)).await;
        assert!(place.supervisor.drill("loop", drill));
        assert!(!place.supervisor.drill("another", drill));
        let (began, before) = (Instant::now(), place.rounds());
        while place.rounds() == before {
            sleep(Duration::from_millis(100)).await;
        }
        assert!(
            began.elapsed() < LONGEST_STANDSTILL,
            "{:?}",
            began.elapsed()
        );
        let report = &place.supervisor.reports()[0];
        assert_eq!((report.stuck, report.panics), (stuck, panics));
        assert!(!place.verdict.is_finished());
        assert_eq!(place.supervisor.look(Instant::now()), Ok(true));
    }
}

#[tokio::test(start_paused = true)]
async fn the_watchdogs_go_hungry_while_a_critical_loop_does_not_move() {
    let critical = Place::new(Spec::new("loop", Duration::from_secs(20)).critical());
    let other = Place::new(Spec::new("loop", Duration::from_secs(20)));
    sleep(Duration::from_secs(1)).await;
    for (place, hungry) in [(critical, true), (other, false)] {
        place.supervisor.drill("loop", Drill::Hang);
        let mut fasts = 0;
        for _ in 0..300 {
            sleep(Duration::from_millis(100)).await;
            fasts += u32::from(place.supervisor.look(Instant::now()) == Ok(false));
        }
        assert_eq!(fasts > 0, hungry);
        assert_eq!(place.supervisor.reports()[0].stuck, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_for_a_thread_ends_the_process() {
    let spec = Spec::new("database", Duration::from_secs(20)).or_end_process();
    let place = Place::new(spec);
    sleep(Duration::from_secs(1)).await;
    place.supervisor.drill("database", Drill::Hang);
    let began = Instant::now();
    let name = "database".to_owned();
    assert_eq!(place.verdict.await.unwrap(), Err(Immovable { name }));
    assert!(began.elapsed() < LONGEST_STANDSTILL);
}

/// Real time and threads: the loop holds its thread, so no runtime can end it.
#[test]
fn a_loop_that_holds_its_thread_ends_the_process() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let supervisor = Supervisor::new();
    let (_stop, stopped) = watch::channel(false);
    let spec = Spec::new("loop", Duration::from_secs(1));
    let kept = supervisor.keep(spec, stopped, |beat| async move {
        loop {
            beat.during(sleep(Duration::from_secs(300))).await;
        }
    });
    runtime.spawn(kept);
    supervisor.drill("loop", Drill::Block);
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let verdict = own.block_on(supervisor.run(&mut Feeder::default()));
    assert_eq!(verdict.unwrap_err().name, "loop");
    runtime.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_has_come_to_its_end_is_left_alone() {
    let supervisor = Supervisor::new();
    let (_stop, stopped) = watch::channel(false);
    let spec = Spec::new("recording", Duration::from_secs(15)).critical();
    let kept = supervisor.keep(spec, stopped, |beat| async move {
        beat.during(sleep(Duration::from_secs(100))).await;
    });
    kept.await;
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(supervisor.look(Instant::now()), Ok(true));
    assert_eq!(supervisor.reports()[0].silent_ms, None);
}

#[tokio::test(start_paused = true)]
async fn when_the_gateway_stops_a_loop_is_gone_before_its_keeper() {
    let place = Place::new(Spec::new("loop", Duration::from_secs(15)));
    sleep(Duration::from_secs(1)).await;
    place.supervisor.stopping();
    place.stop.send_replace(true);
    place.kept.await.unwrap();
    // The loop held the other one.
    assert_eq!(Arc::strong_count(&place.rounds), 1);
    place.supervisor.over();
    assert_eq!(place.verdict.await.unwrap(), Ok(()));
}
