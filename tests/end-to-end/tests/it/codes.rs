//! A car's trouble codes, through the whole house: they are read with what the car kept of that moment, and cleared by a command
//! that a program gives to the cloud's API, once the car has stood still for a minute, and by nothing else.

use std::time::{Duration, Instant};

use end_to_end::{
    check,
    house::{Habits, House, Options},
};
use serde_json::{Value, json};

use crate::databases;

const PATIENCE: Duration = Duration::from_secs(150);
/// So long a car must have stood still.
const STANDS: Duration = Duration::from_secs(60);

/// Asks the cloud's API; the answer's status and body.
async fn api(house: &House, key: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let (url, bearer) = (format!("{}{path}", house.http()), format!("Bearer {key}"));
    let asked = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .build()
            .into();
        let answer = match body {
            Some(body) => {
                let post = agent.post(url).header("authorization", bearer);
                post.send_json(body)
            }
            None => agent.get(url).header("authorization", bearer).call(),
        };
        let mut answer = answer.unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (
            answer.status().as_u16(),
            serde_json::from_str(&text).unwrap(),
        )
    });
    asked.await.unwrap()
}

/// Gives the command to clear a car's trouble codes; its name.
async fn clear(house: &House, key: &str, car: &str) -> String {
    let command = json!({ "gateway": "demo-1", "kind": "clear-trouble-codes", "argument": car });
    let (status, made) = api(house, key, "/v1/commands", Some(command)).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// What has become of a command, once it has ended.
async fn ended(house: &House, key: &str, id: &str) -> (String, String) {
    let began = Instant::now();
    loop {
        let (status, command) = api(house, key, &format!("/v1/commands/{id}"), None).await;
        assert_eq!(status, 200, "{command}");
        let text = |name: &str| command[name].as_str().unwrap().to_owned();
        if ["done", "refused", "expired"].contains(&command["state"].as_str().unwrap()) {
            return (text("state"), text("detail"));
        }
        assert!(began.elapsed() < PATIENCE, "{command}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Says something about a car's codes to the depot; which ones the car has.
async fn codes(house: &mut House, line: &str) -> String {
    let depot = house.depot.as_mut().unwrap();
    depot.say(line).await.unwrap();
    let car = line.split(' ').nth(1).unwrap();
    depot
        .ready(&format!("codes {car}:"), PATIENCE)
        .await
        .unwrap()
}

/// The payloads of a car's records of a kind, once there is one.
async fn records(database: &str, car: &str, kind: &str) -> Vec<Value> {
    let client = check::connect(database).await.unwrap();
    let began = Instant::now();
    loop {
        let rows = client
            .query(
                "SELECT r.payload::text FROM telemetry.record r JOIN platform.gateway_asset g USING (asset_id) \
                 WHERE g.local_key = $1 AND r.kind = $2 ORDER BY r.time",
                &[&car, &kind],
            )
            .await
            .unwrap();
        if !rows.is_empty() {
            let text = rows.iter().map(|row| row.get::<_, String>(0));
            return text
                .map(|text| serde_json::from_str(&text).unwrap())
                .collect();
        }
        assert!(began.elapsed() < PATIENCE, "no {kind} of {car}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_codes_are_cleared_by_a_signed_command_and_nothing_else() {
    let Some((flavour, url)) = databases().into_iter().last() else {
        return;
    };
    println!("database: {flavour}");
    let folder = tempfile::tempdir().unwrap();
    let database = check::fresh_database(&url, "patio_codes").await.unwrap();
    let options = Options {
        folder: folder.path().join("house"),
        database_url: database.clone(),
        cars: 2,
        chargers: 2,
        seed: 5,
        speed: 1.0,
        replay: None,
    };
    // They stand at their chargers.
    let habits = Habits {
        charging: true,
        ..Habits::default()
    };
    let mut house = House::with_habits(options, habits).await.unwrap();
    for car in ["car-01", "car-02"] {
        let said = codes(&mut house, &format!("code {car} P0A1B-11")).await;
        assert_eq!(said, "P0A1B-11");
    }
    house.start_cloud().await.unwrap();
    let key = house
        .key_for(&["commands.send", "gateways.read"])
        .await
        .unwrap();
    // Given before anybody is there to take it.
    let first = clear(&house, key.trim(), "car-01").await;
    let nobody = clear(&house, key.trim(), "car-9").await;
    let began = Instant::now();
    house.start_edge().unwrap();

    // New codes are records of the critical stream, with what the car kept.
    let found = records(&database, "car-01", "vehicle.dtc").await;
    let uds = found.iter().find(|code| code["list"] == "uds");
    let code = uds.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(
        (&code["code"], &code["status"]),
        (&json!("P0A1B-11"), &json!(9))
    );
    let kept = records(&database, "car-01", "vehicle.dtc.snapshot").await;
    let record = kept[0]["record"].as_str().unwrap();
    assert_eq!(
        (&kept[0]["code"], &record[..8]),
        (&json!("P0A1B-11"), "0101f190")
    );
    let kept = records(&database, "car-01", "vehicle.dtc.extended").await;
    assert_eq!(kept[0]["record"], "0101");

    // What no vehicle of this gateway can do is refused, and says why.
    let (state, why) = ended(&house, key.trim(), &nobody).await;
    assert_eq!(state, "refused");
    assert!(
        why.contains("no vehicle of this gateway is called car-9"),
        "{why}"
    );
    // It waits for the minute: the code is still there.
    if began.elapsed() < STANDS {
        assert_eq!(codes(&mut house, "codes car-01").await, "P0A1B-11");
    }
    let done = ended(&house, key.trim(), &first).await;
    assert_eq!(done, ("done".to_owned(), String::new()));
    assert!(began.elapsed() >= STANDS, "after {:?}", began.elapsed());
    assert_eq!(codes(&mut house, "codes car-01").await, "");
    let cleared = records(&database, "car-01", "vehicle.dtc.cleared").await;
    assert_eq!(cleared, [json!({ "ecus": 3 })]);
    // Nobody has ordered anything of the other car.
    assert_eq!(codes(&mut house, "codes car-02").await, "P0A1B-11");

    // Without the permission there is no command.
    let reads = house.api_key().unwrap();
    let command =
        json!({ "gateway": "demo-1", "kind": "clear-trouble-codes", "argument": "car-02" });
    let (status, _) = api(&house, &reads, "/v1/commands", Some(command)).await;
    assert_eq!(status, 403);
    house.stop().await.unwrap();
}
