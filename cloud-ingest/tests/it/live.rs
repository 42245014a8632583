//! The live stream over real HTTP: who hears what, and coming back.

use std::time::Duration;

use platform::testing::{TestDatabase, on_each_database};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    rooms::{code, scope, tell, with},
    service::{EMBEDDED, Place, Service},
};

struct Listener {
    stream: TcpStream,
    heard: String,
}

impl Listener {
    async fn to(service: &Service, key: &str, query: &str, last: &str) -> Self {
        let address = service.http.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /v1/events/live{query} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             last-event-id: {last}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut listener = Self {
            stream,
            heard: String::new(),
        };
        listener.until("retry: 3000").await;
        assert!(
            listener.heard.contains("text/event-stream"),
            "{}",
            listener.heard
        );
        listener
    }

    /// Reads until this was heard.
    async fn until(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.heard.contains(text) {
            let read = timeout(Duration::from_secs(30), self.stream.read(&mut buffer)).await;
            let read = read
                .unwrap_or_else(|_| panic!("never `{text}`: {}", self.heard))
                .unwrap();
            assert!(read > 0, "it ended: {}", self.heard);
            self.heard
                .push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }

    /// The positions that were heard, in their order.
    fn positions(&self) -> Vec<u32> {
        let lines = self
            .heard
            .lines()
            .filter_map(|line| line.strip_prefix("id: "));
        lines.map(|id| id.parse().unwrap()).collect()
    }
}

#[test]
fn everybody_hears_what_they_may_and_misses_nothing() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let db = database.connect().await;
        let reader = place.key("default", &["telemetry.read"]);
        let gateways = place.key("default", &["gateways.read"]);
        let stranger = place.key("other", &["telemetry.read", "gateways.read"]);
        let (own, other) = (scope(&db, "default").await, scope(&db, "other").await);
        let ready = async |of: &platform::Scope, asset: i32| {
            let payload = json!({"asset": asset, "state_of_charge": 50.0});
            tell(&db, of, "vehicle.ready", &asset.to_string(), payload).await;
        };
        let mut first = Listener::to(&service, &reader, "", "0").await;
        let mut of_gateways = Listener::to(&service, &gateways, "", "0").await;
        let mut theirs = Listener::to(&service, &stranger, "", "0").await;
        for asset in 1..=3 {
            ready(&own, asset).await;
        }
        let lost = json!({"gateway": "depot-1", "last_seen_at": "2026-03-02T12:00:00Z"});
        tell(&db, &own, "gateway.offline", "depot-1", lost).await;
        ready(&own, 5).await;
        first.until("id: 5\n").await;
        assert_eq!(first.positions(), [1, 2, 3, 5]);
        assert!(!first.heard.contains("gateway.offline"), "{}", first.heard);
        assert!(
            first.heard.contains(own.request.as_str()),
            "the request goes with it"
        );
        of_gateways.until("id: 4\n").await;
        assert_eq!(of_gateways.positions(), [4]);

        // Another organisation hears its own, and nothing of all that.
        ready(&other, 77).await;
        theirs.until("id: 1\n").await;
        theirs.until("\"asset\":77").await;
        assert_eq!(theirs.positions(), [1]);
        assert!(!theirs.heard.contains("vehicle:1\""), "{}", theirs.heard);

        // Gone and back: nothing is missed, nothing comes twice.
        drop(first);
        ready(&own, 6).await;
        ready(&own, 7).await;
        let mut back = Listener::to(&service, &reader, "?names=vehicle.ready", "5").await;
        back.until("id: 7\n").await;
        ready(&own, 8).await;
        back.until("id: 8\n").await;
        assert_eq!(back.positions(), [6, 7, 8]);

        for (key, query, expected) in [
            (
                &reader,
                "?names=gateway.offline",
                (403, "permission_missing"),
            ),
            (&reader, "?names=gateway.lost", (400, "bad_parameter")),
            (&reader, "?name=x", (400, "bad_parameter")),
            (
                &place.key("default", &["keys.manage"]),
                "",
                (403, "permission_missing"),
            ),
        ] {
            let answer = with(&service, key, &format!("GET /v1/events/live{query}"), "").await;
            assert_eq!(
                code(&answer),
                (expected.0, expected.1.to_owned()),
                "{query}"
            );
        }
        let catalogue = service.get("/v1/events").await.json();
        let named = catalogue["items"].as_array().unwrap().iter();
        let ready = named
            .clone()
            .find(|event| event["name"] == "vehicle.ready")
            .unwrap();
        assert_eq!(ready["permission"], "telemetry.read");
        // Streams that are open do not keep it from stopping.
        service.stop();
    });
}
