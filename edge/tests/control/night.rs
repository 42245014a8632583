//! A night without a cloud: somebody looks at the gateway's page, stops a car, wants another one first, and lets both go.

use crate::{
    browser::Browser,
    rig::{CONTINUOUS, PIN, Rig, STATIONS},
};

/// What the gateway says of a station.
fn station(rig: &Rig, place: usize) -> serde_json::Value {
    rig.control()["stations"][place].clone()
}

async fn who_has_no_pin_does_nothing(rig: &Rig) -> Browser {
    let mut browser = Browser::new(rig.page);
    let door = browser.page().await;
    assert!(
        door.contains("PIN del turno") && !door.contains("station-01"),
        "{door}"
    );
    for word in ["default-src 'none'", "cache-control: no-store"] {
        assert!(door.contains(word), "{door}");
    }
    assert_eq!(browser.ask("GET /live", "").await.status, 401);
    let form = "key=&act=stop&station=station-01";
    let answer = browser.ask("POST /act", form).await;
    assert_eq!(answer.status, 303);
    assert_eq!(browser.enter("493022").await, 403);
    assert_eq!(browser.enter(PIN).await, 303);
    // Another site in the same browser, and a form without the session's key.
    let key = browser.key().await;
    let form = format!("key={key}&act=stop&station=station-01");
    let foreign = "Origin: http://elsewhere\r\n";
    let answer = browser.ask_with("POST /act", &form, foreign).await;
    assert_eq!(answer.status, 403);
    let form = "key=0&act=stop&station=station-01";
    assert_eq!(browser.ask("POST /act", form).await.status, 403);
    assert_eq!(station(rig, 0)["wanted"], serde_json::Value::Null);
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_night_supervisor_of_a_depot_without_a_cloud() {
    let mut rig = Rig::new(3).await;
    let charges = |rig: &Rig| station(rig, 0)["limit"].as_f64().unwrap_or(0.0) > 0.0;
    rig.until("no car charges", |rig| {
        charges(rig) && rig.offered().0 == STATIONS
    })
    .await;
    let browser = who_has_no_pin_does_nothing(&rig).await;
    let page = browser.page().await;
    for words in ["station-50", "Cargando", "Circuito main", "Permitido"] {
        assert!(page.contains(words), "{words}: {page}");
    }

    // What makes no sense is refused with its reason.
    let said = browser.act("start", "station-01").await;
    assert!(said.contains("ya carga"), "{said}");
    let said = browser.act("not-first", "station-02").await;
    assert!(said.contains("no iba primero"), "{said}");
    let said = browser.act("stop", "station-99").await;
    assert!(said.contains("no tiene ese cargador"), "{said}");

    let said = browser.act("stop", "station-01").await;
    assert!(said.contains("se detiene"), "{said}");
    rig.until("it is not stopped", |rig| rig.offer(0) == 0.0)
        .await;
    assert!(
        browser
            .page()
            .await
            .contains("Se detuvo desde esta página.")
    );
    let said = browser.act("first", "station-02").await;
    assert!(said.contains("va primero"), "{said}");
    rig.until("it is not the first", |rig| {
        let others = (2..STATIONS).map(|place| rig.offer(place));
        rig.offer(1) > others.fold(0.0, f64::max) + 4.0
    })
    .await;

    // The gateway is killed and comes back: it remembers both.
    rig.kill_gateway().await;
    rig.start_gateway().await;
    rig.until("what was wanted is forgotten", |rig| {
        let wanted = |place: usize, what: &str| station(rig, place)["wanted"] == what;
        let car = station(rig, 0)["car"] == true;
        wanted(0, "stopped") && wanted(1, "first") && car && rig.offer(0) == 0.0
    })
    .await;
    assert!(rig.file("commands").exists());

    // Who was in is not in any more; five wrong PINs, and nobody is asked for a while. Who is in stays in.
    let mut browser = Browser::new(rig.page);
    assert_eq!(browser.enter(PIN).await, 303);
    let mut other = Browser::new(rig.page);
    for _ in 0..5 {
        assert_eq!(other.enter("000001").await, 403);
    }
    assert_eq!(other.enter(PIN).await, 429);
    let said = browser.act("start", "station-01").await;
    assert!(said.contains("va a iniciar"), "{said}");
    rig.until("it is not let go", |rig| rig.offer(0) > 0.0)
        .await;
    let said = browser.act("not-first", "station-02").await;
    assert!(said.contains("ya no va primero"), "{said}");
    rig.until("it is still the first", |rig| {
        let others = (2..STATIONS).map(|place| rig.offer(place));
        rig.offer(1) <= others.fold(0.0, f64::max) + 4.0
    })
    .await;
    rig.until("the supply carries too much", |rig| {
        rig.flows() <= CONTINUOUS
    })
    .await;
    let heat = rig.end().await;
    assert!(heat < 0.5, "the breaker came to {heat:.3} of its trip");
}
