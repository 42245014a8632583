//! An order from the API to a charging station and back: signed by the cloud, carried by MQTT, asked of a station in its own
//! version by the gateway, answered by the station, and told by the API. And which car stands there, told by the card that its
//! driver has shown.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use end_to_end::house::{GATEWAY, House};
use serde_json::{Value, json};

use crate::{charging_house, databases};

const PATIENCE: Duration = Duration::from_secs(90);

fn depot() -> String {
    let mut text = "[depot]\nid = \"orders\"\nname = \"Orders\"\ntime_zone = \"America/Mexico_City\"\nlatitude = 19.4\nlongitude = -99.1\n\
         voltage_system = \"220Y/127\"\n\n[[circuit]]\nid = \"main\"\nbreaker = 200\n\n[[meter]]\nid = \"grid\"\ncircuit = \"main\"\n\
         modbus = { address = \"tcp://10.0.0.9\", unit = 1, map = \"patio-virtual-meter\" }\n"
        .to_owned();
    for (id, version) in [("s-1", "1.6"), ("s-2", "2.0.1")] {
        let _ = write!(
            text,
            "\n[[station]]\nid = \"{id}\"\ncircuit = \"main\"\nphases = \"L1-L2\"\nconnectors = [\"Type 1\"]\nmax_current = 32\n\
             fallback_current = 8\nocpp = {{ id = \"CP-{id}\", version = \"{version}\" }}\n"
        );
    }
    text
}

/// Somebody who may give orders.
struct Operator {
    http: String,
    key: String,
}

impl Operator {
    async fn of(house: &House) -> Self {
        let permissions = [
            "telemetry.read",
            "gateways.read",
            "commands.send",
            "transactions.assign",
        ];
        let key = house.key_for(&permissions).await.unwrap();
        Self {
            http: house.http(),
            key: key.trim().to_owned(),
        }
    }

    fn agent() -> ureq::Agent {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20)));
        config.http_status_as_error(false).build().into()
    }

    fn get(&self, path: &str) -> Value {
        let request = Self::agent().get(format!("{}{path}", self.http));
        let request = request.header("authorization", format!("Bearer {}", self.key));
        request.call().unwrap().body_mut().read_json().unwrap()
    }

    fn send(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &Value,
    ) -> Value {
        let request = request.header("authorization", format!("Bearer {}", self.key));
        let mut answer = request.send_json(body).unwrap();
        let said: Value = answer.body_mut().read_json().unwrap();
        assert!(answer.status().is_success(), "{body}: {said}");
        said
    }

    /// Gives an order and waits until it has ended: how, and what was said.
    async fn order(&self, station: &str, command: &str, with: &Value) -> (String, String) {
        let argument = json!({ "station": station, "command": command, "with": with }).to_string();
        let order = json!({ "gateway": GATEWAY, "kind": "station", "argument": argument });
        let post = Self::agent().post(format!("{}/v1/commands", self.http));
        let id = self.send(post, &order)["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/commands/{id}");
        let ended = |shown: &Value| {
            matches!(
                shown["state"].as_str(),
                Some("done" | "refused" | "expired")
            )
        };
        let shown = self.until(&path, ended).await;
        let text = |key: &str| shown[key].as_str().unwrap().to_owned();
        (text("state"), text("detail"))
    }

    /// Asks until what is told is what it waits for.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let said = self.get(path);
            if wanted(&said) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "{path}: {said}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The transaction that goes on at a station.
    async fn open(&self, station: &str) -> Value {
        let of = |said: &Value| {
            let mut items = said["items"].as_array().unwrap().iter();
            items.find(|one| one["station"] == station).cloned()
        };
        let said = self
            .until("/v1/transactions?open=true", |said| of(said).is_some())
            .await;
        of(&said).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_reaches_a_station_and_its_answer_the_api() {
    let Some((_, url)) = databases().into_iter().last() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut house = charging_house(folder.path(), (&url, "patio_orders"), &depot(), 2, 7).await;
    let operator = Operator::of(&house).await;

    for (station, variable) in [
        ("CP-s-1", "MeterValueSampleInterval"),
        ("CP-s-2", "TxUpdatedInterval"),
    ] {
        let open = operator.open(station).await;
        let transaction = open["transaction"].as_str().unwrap();

        // What a station does.
        let wanted = json!({ "component": "SampledDataCtrlr", "variable": variable, "value": "7" });
        let (state, said) = operator.order(station, "set-configuration", &wanted).await;
        assert_eq!(state, "done", "{station}: {said}");
        assert!(said.contains("Accepted"), "{station}: {said}");

        // What it does not know, and what the gateway does not even ask.
        let (state, said) = operator.order(station, "clear-cache", &json!({})).await;
        assert_eq!(state, "refused", "{station}: {said}");
        let high = json!({ "profile": 2000, "connector": 1, "purpose": "default", "level": 1, "amperes": 30 });
        let (state, said) = operator.order(station, "set-profile", &high).await;
        assert_eq!(state, "refused", "{station}: {said}");
        assert!(said.contains("8 A"), "{station}: {said}");

        // The transaction ends as it was told, and cannot be ended twice.
        let end = json!({ "transaction": transaction });
        let (state, said) = operator.order(station, "remote-stop", &end).await;
        assert_eq!(state, "done", "{station}: {said}");
        let path = format!("/v1/transactions?open=false&asset={}", open["asset"]);
        let ended = operator
            .until(&path, |said| {
                said["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|one| one["id"] == open["id"])
            })
            .await;
        let items = ended["items"].as_array().unwrap();
        let ended = items.iter().find(|one| one["id"] == open["id"]).unwrap();
        assert_eq!(ended["reason"], "Remote", "{ended}");
        let (state, said) = operator.order(station, "remote-stop", &end).await;
        assert_eq!(state, "refused", "{station}: {said}");
        assert!(said.contains("does not go on"), "{station}: {said}");
    }
    let (state, said) = operator.order("CP-9", "clear-cache", &json!({})).await;
    assert_eq!(state, "refused", "{said}");
    assert!(said.contains("no station of this gateway"), "{said}");

    house.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_car_at_a_station_is_known_by_its_card_and_its_telematics() {
    let Some((_, url)) = databases().into_iter().last() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut house = charging_house(folder.path(), (&url, "patio_cards"), &depot(), 2, 8).await;
    let operator = Operator::of(&house).await;
    let open = operator.open("CP-s-1").await;
    // Until somebody says whose the card is, operations see it, and what is assumed.
    let said = operator.get("/v1/transactions/unmatched");
    let of = |said: &Value| {
        let mut items = said["items"].as_array().unwrap().iter();
        items.find(|one| one["id"] == open["id"]).cloned()
    };
    let unmatched = of(&said).unwrap();
    assert_eq!(unmatched["assumed"]["energy_wh"], 20_000, "{unmatched}");
    // A card of a virtual driver is the car's key in capital letters.
    let card = open["token"].as_str().unwrap();
    let known = |said: &Value| {
        let mut items = said["items"].as_array().unwrap().iter();
        let is_it = |asset: &&Value| asset["known_as"][0]["local_key"] == card.to_lowercase();
        items.find(is_it).map(|asset| asset["id"].clone())
    };
    let assets = operator
        .until("/v1/assets?limit=100", |said| known(said).is_some())
        .await;
    let car = known(&assets).unwrap();
    let sign = json!({ "kind": "card", "value": card, "asset": car });
    let put = Operator::agent().put(format!("{}/v1/vehicle-signs", operator.http));
    operator.send(put, &sign);
    let vehicle = |said: &Value| of(said).map(|one| one["vehicle"].clone());
    let path = "/v1/transactions?open=true";
    let found = operator
        .until(path, |said| {
            vehicle(said).is_some_and(|vehicle| !vehicle.is_null())
        })
        .await;
    let vehicle = vehicle(&found).unwrap();
    assert_eq!(vehicle["asset"], car, "{vehicle}");
    assert!(
        vehicle["by"].as_array().unwrap().contains(&json!("card")),
        "{vehicle}"
    );
    assert!(vehicle["confidence"].as_f64().unwrap() > 0.5, "{vehicle}");
    assert!(of(&operator.get("/v1/transactions/unmatched")).is_none());
    // Somebody who stands there knows better.
    let put = Operator::agent().put(format!(
        "{}/v1/transactions/{}/vehicle",
        operator.http, open["id"]
    ));
    let said = operator.send(put, &json!({ "asset": null }));
    assert_eq!(
        (&said["asset"], &said["certain"]),
        (&Value::Null, &json!(true))
    );
    assert!(
        said["assigned_by"].as_str().unwrap().starts_with("key:"),
        "{said}"
    );
    house.stop().await.unwrap();
}
