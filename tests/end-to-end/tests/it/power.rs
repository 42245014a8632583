//! The gateway's power is cut at random: it runs under a kernel of its own with a disk of its own, and the whole guest is
//! killed, with all that its kernel had not flushed. Nothing whose commit had returned may be missing afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use end_to_end::{
    check,
    house::{House, Options},
    live::Report,
    process,
};
use guest::{Disk, Guest, Plan};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{at_least, databases, seconds, seed};

/// Under emulation a boot takes about ten seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(120);
const DRAIN: Duration = Duration::from_secs(180);

/// The gateway as it runs in the guest: its configuration, with this machine under the name that it has there.
fn plan(house: &House, program: &Path, disk: &Disk) -> Result<Plan, String> {
    // A word on the console stops the gateway; its log is shown when it ended by itself, or not well.
    let script = "echo 'guest: up'\n\
         /edge run --config /house/gateway.toml --report 2>/tmp/log &\n\
         edge=$!\n\
         (while kill -0 $edge 2>/dev/null; do sleep 1; done; tail -n 20 /tmp/log; echo 'guest: the gateway has ended') &\n\
         read word\n\
         kill $edge\n\
         wait $edge && exit 0\n\
         tail -n 20 /tmp/log\n\
         exit 1\n";
    let mut plan = Plan::new(&[], script)?;
    plan.disk = Some(disk.clone());
    plan.network = true;
    plan.archive.program(program, Path::new("/edge")).unwrap();
    let folder = house.folder().display().to_string();
    let config = fs::read_to_string(house.path("gateway.toml"))
        .unwrap()
        .replace("127.0.0.1", "10.0.2.2")
        .replace("\"buffer\"", "\"/disk/buffer\"")
        .replace(&folder, "/house");
    plan.archive
        .file(Path::new("/house/gateway.toml"), config.as_bytes());
    let mut files: Vec<PathBuf> = vec![house.path("gateway.key")];
    files.extend(
        fs::read_dir(house.path("depot"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|of| of == "toml" || of == "dbc")
            }),
    );
    for file in files {
        let inside = Path::new("/house").join(file.strip_prefix(house.folder()).unwrap());
        plan.archive.file(&inside, &fs::read(&file).unwrap());
    }
    Ok(plan)
}

/// Reads the gateway's reports until one is as wanted.
fn report(guest: &mut Guest, within: Duration, wanted: impl Fn(&Report) -> bool) -> Report {
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let rest = guest.wait_for("{", left).unwrap();
        // The console may be cut in the middle of a line, but only the last.
        let Ok(report) = serde_json::from_str::<Report>(&format!("{{{rest}")) else {
            continue;
        };
        assert!(report.conserved(), "{rest}");
        if wanted(&report) {
            return report;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_lose_nothing_that_was_committed() {
    let Some((flavour, url)) = databases().into_iter().next() else {
        return;
    };
    let seed = seed(&flavour);
    let mut random = StdRng::seed_from_u64(seed);
    if let Err(why) = Plan::new(&[], "") {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database_url = check::fresh_database(&url, "patio_power").await.unwrap();
    let mut house = House::set_up(Options {
        folder: folder.path().join("house"),
        database_url: database_url.clone(),
        cars: 2,
        chargers: 2,
        seed,
        speed: 1.0,
        replay: None,
    })
    .await
    .unwrap();
    house.start_cloud().await.unwrap();
    let disk = Disk::new(&folder.path().join("disk"), 128).unwrap();
    // The same program at each boot, whatever is built meanwhile.
    let program = folder.path().join("edge");
    fs::copy(process::program("edge").unwrap(), &program).unwrap();
    let produced = |report: &Report| report.sum(|stream| stream.produced);

    let end = Instant::now() + Duration::from_secs(seconds(60));
    let mut cuts = 0;
    let mut committed = 0;
    // The gateway says that it is committed only after the commit: it must be there when it comes up again.
    while cuts < at_least(200).max(1) || Instant::now() < end {
        let mut guest = Guest::boot(plan(&house, &program, &disk).unwrap()).unwrap();
        let found = produced(&report(&mut guest, BOOT, |_| true));
        assert!(
            found >= committed,
            "seed {seed}, after {cuts} cuts: {committed} samples were committed, {found} are there"
        );
        committed = produced(&report(&mut guest, BOOT, |now| produced(now) > found));
        let cut = Instant::now() + Duration::from_millis(random.random_range(0..5000));
        while let Some(line) = guest.line(cut.saturating_duration_since(Instant::now())) {
            if let Ok(report) = serde_json::from_str::<Report>(&line) {
                committed = produced(&report);
            }
        }
        guest.cut_power().unwrap();
        cuts += 1;
        println!("{cuts} cuts, {committed} samples committed");
    }

    house.stop_depot().await.unwrap();
    let mut guest = Guest::boot(plan(&house, &program, &disk).unwrap()).unwrap();
    report(&mut guest, DRAIN, |now| {
        now.uplink.connected
            && now.pending == 0
            && now.sum(|stream| stream.open + stream.buffered) == 0
    });
    guest.say("stop").unwrap();
    let (status, said) = guest.ended(DRAIN).unwrap();
    assert_eq!(status, 0, "{}", said.join("\n"));
    house.stop_cloud().await.unwrap();
    disk.copy_out("/buffer", folder.path()).unwrap();

    let truth = house.path("depot").join("truth.jsonl");
    let verdict = check::check(&database_url, &folder.path().join("buffer"), &truth)
        .await
        .unwrap();
    println!(
        "{cuts} power cuts: {} samples made durable, {} stored, {} duplicated, {} wrong; \
         {} were read and not yet committed when the power went",
        verdict.ledger.produced,
        verdict.stored,
        verdict.report.total.duplicated,
        verdict.report.total.wrong,
        verdict.report.total.lost + verdict.report.total.unread,
    );
    assert!(verdict.stored > 0, "nothing was stored");
    assert!(
        verdict.is_conserved(),
        "seed {seed}: {:?} {:?}",
        verdict.ledger,
        verdict.report
    );
}
