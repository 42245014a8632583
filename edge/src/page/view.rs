//! The page as people see it: HTML without anything from elsewhere.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::words;
use crate::control::{Act, Shown, StationShown, Want};

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn whole(depot: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"es-MX\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{depot} · carga</title><link rel=\"stylesheet\" href=\"/page.css\">\
         <script src=\"/page.js\" defer></script></head><body>{body}</body></html>\n",
        depot = escaped(depot)
    )
}

/// What people see who are not in.
pub(super) fn door(depot: &str, wrong: Option<&str>) -> String {
    let mut body = format!("<main><h1>{}</h1>", escaped(depot));
    if let Some(wrong) = wrong {
        let _ = write!(
            body,
            "<p class=\"said bad\" role=\"alert\">{}</p>",
            escaped(wrong)
        );
    }
    body.push_str(
        "<form method=\"post\" action=\"/enter\"><p><label for=\"pin\">PIN del turno</label></p>\
         <p><input id=\"pin\" name=\"pin\" type=\"password\" inputmode=\"numeric\" autocomplete=\"off\" maxlength=\"12\" required autofocus></p>\
         <p><button>Entrar</button></p></form></main>",
    );
    whole(depot, &body)
}

/// What people see who are in. `live` is the part that changes.
pub(super) fn page(depot: &str, live: &str, key: &str, said: Option<(bool, String)>) -> String {
    let mut body = format!("<main><h1>{}</h1>", escaped(depot));
    if let Some((good, what)) = said {
        let look = if good { "good" } else { "bad" };
        let _ = write!(
            body,
            "<p class=\"said {look}\" role=\"status\">{}</p>",
            escaped(&what)
        );
    }
    body.push_str(
        "<p id=\"offline\" role=\"alert\" hidden>Sin conexión con el gateway: lo que se ve ya no es actual.</p>",
    );
    body.push_str(live);
    let _ = write!(
        body,
        "<form method=\"post\" action=\"/leave\"><input type=\"hidden\" name=\"key\" value=\"{key}\"><button class=\"plain\">Salir</button></form></main>"
    );
    whole(depot, &body)
}

fn kilowatts(watts: Option<f64>) -> String {
    watts.map_or_else(
        || "sin dato".to_owned(),
        |watts| format!("{:.1} kW", watts / 1000.0),
    )
}

/// A bar that says in words, too, how much of what may be is.
fn bar(label: &str, is: f64, may: f64, words: &str) -> String {
    format!(
        "<p>{}: {words}</p><meter min=\"0\" max=\"{may:.1}\" high=\"{may:.1}\" value=\"{is:.1}\" aria-label=\"{}\">{words}</meter>",
        escaped(label),
        escaped(label)
    )
}

/// The depot as it stands. Each part with `data-live` takes the place of the one with its id.
pub(super) fn depot(shown: &Shown, key: &str, wall_us: Option<i64>) -> String {
    let mut html = String::from("<section id=\"alarms\" data-live aria-live=\"polite\">");
    for alarm in &shown.raised {
        let _ = write!(
            html,
            "<p class=\"alarm\">{}</p>",
            escaped(&words::alarm(alarm))
        );
    }
    html.push_str("</section><section id=\"demand\" data-live><h2>Luz del depósito</h2>");
    match (shown.average, shown.wanted) {
        (Some(average), Some(wanted)) => {
            let words = format!(
                "{} de {}",
                kilowatts(Some(average)),
                kilowatts(Some(wanted))
            );
            html.push_str(&bar(
                "Promedio de estos 15 minutos",
                average,
                wanted,
                &words,
            ));
        }
        (None, Some(wanted)) => {
            let _ = write!(
                html,
                "<p>Promedio de estos 15 minutos: sin dato, de {}</p>",
                kilowatts(Some(wanted))
            );
        }
        _ => {}
    }
    let _ = write!(html, "<p>Ahora: {}</p>", kilowatts(shown.demand));
    for circuit in &shown.circuits {
        let phases = circuit.current.into_iter().zip(circuit.continuous);
        let phases = phases.filter(|(_, may)| *may > 0.0);
        // The phase that is nearest to what it may carry.
        let worst = phases.max_by(|one, two| (one.0 / one.1).total_cmp(&(two.0 / two.1)));
        if let Some((is, may)) = worst {
            let label = format!("Circuito {}", circuit.id);
            html.push_str(&bar(&label, is, may, &format!("{is:.0} A de {may:.0} A")));
        }
    }
    let _ = write!(
        html,
        "<p>{} cargando, {} en espera, {} sin comunicación</p>",
        shown.charging, shown.waiting, shown.unheard
    );
    html.push_str(if shown.plan_until_us.is_some() {
        "<p class=\"quiet\">Hay un plan para esta noche.</p>"
    } else {
        "<p class=\"quiet\">Sin plan: los autos se reparten lo que hay.</p>"
    });
    html.push_str("</section><section><h2>Cargadores</h2><ul class=\"stations\">");
    for station in &shown.stations {
        one(&mut html, station, key);
    }
    html.push_str("</ul></section>");
    let time = wall_us.and_then(|us| Timestamp::from_second(us.div_euclid(1_000_000)).ok());
    if let Some(time) = time {
        let _ = write!(
            html,
            "<p id=\"time\" data-live class=\"quiet\">Actualizado: <time datetime=\"{time}\">{time}</time></p>"
        );
    }
    html
}

/// What may be asked of a station now.
fn acts(station: &StationShown) -> Vec<Act> {
    let mut acts = Vec::new();
    if station.linked && (!station.car || station.wanted == Some(Want::Stopped)) {
        acts.push(Act::Start);
    }
    if station.linked && station.car && station.wanted != Some(Want::Stopped) {
        acts.push(Act::Stop);
        if station.wanted != Some(Want::First) {
            acts.push(Act::First);
        }
    }
    if station.wanted == Some(Want::First) {
        acts.push(Act::NotFirst);
    }
    acts
}

fn one(html: &mut String, station: &StationShown, key: &str) {
    let id = escaped(&station.id);
    let (state, look) = words::state(station);
    let _ = write!(
        html,
        "<li id=\"s-{id}\"><div id=\"i-{id}\" data-live><h3>{id}: <span class=\"{look}\">{state}</span>"
    );
    if station.wanted == Some(Want::First) {
        html.push_str(" · va primero");
    }
    html.push_str("</h3>");
    if station.car || station.limit > 0.0 {
        let measured = station
            .measured
            .map_or_else(|| "sin dato".to_owned(), |a| format!("{a:.1} A"));
        let _ = write!(
            html,
            "<p>Permitido: {:.0} A · medido: {measured}</p>",
            station.limit
        );
    }
    let mut car = Vec::new();
    if let Some(charge) = station.state_of_charge {
        car.push(format!("Batería: {charge:.0} %"));
    }
    if let Some(transaction) = &station.transaction {
        car.push(format!("Carga n.º {}", escaped(transaction)));
    }
    if !car.is_empty() {
        let _ = write!(html, "<p class=\"quiet\">{}</p>", car.join(" · "));
    }
    let _ = write!(
        html,
        "<p class=\"quiet\">{}</p></div>",
        escaped(&words::why(&station.why))
    );
    let _ = write!(html, "<div id=\"a-{id}\" data-live class=\"acts\">");
    for act in acts(station) {
        let look = if act == Act::Stop {
            " class=\"plain\""
        } else {
            ""
        };
        let (name, words) = (act.name(), words::button(act));
        let _ = write!(
            html,
            "<form method=\"post\" action=\"/act\"><input type=\"hidden\" name=\"key\" value=\"{key}\">\
             <input type=\"hidden\" name=\"station\" value=\"{id}\"><input type=\"hidden\" name=\"act\" value=\"{name}\">\
             <button{look} aria-label=\"{words}: {id}\">{words}</button></form>"
        );
    }
    html.push_str("</div></li>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Reason;

    fn station() -> StationShown {
        StationShown {
            id: "one".into(),
            linked: true,
            car: true,
            transaction: Some("<b>".into()),
            state_of_charge: Some(41.0),
            limit: 12.0,
            measured: Some(11.8),
            why: Reason::Circuit("main".into()),
            wanted: None,
            assumed: false,
        }
    }

    #[test]
    fn what_stations_say_is_text() {
        let shown = Shown {
            stations: vec![station()],
            ..Shown::default()
        };
        let html = depot(&shown, "k", Some(0));
        assert!(
            !html.contains("<b>") && html.contains("&lt;b&gt;"),
            "{html}"
        );
        for expected in [
            "12 A",
            "11.8 A",
            "41 %",
            "El circuito main ya lleva todo lo que puede.",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        let page = page("\"Norte\"", &html, "k", Some((true, "a<b".into())));
        assert!(page.contains("&quot;Norte&quot;") && page.contains("a&lt;b"));
        assert!(!page.contains("http"), "nothing is from elsewhere: {page}");
    }

    #[test]
    fn only_what_makes_sense_can_be_asked() {
        assert_eq!(acts(&station()), [Act::Stop, Act::First]);
        let first = StationShown {
            wanted: Some(Want::First),
            ..station()
        };
        assert_eq!(acts(&first), [Act::Stop, Act::NotFirst]);
        let stopped = StationShown {
            wanted: Some(Want::Stopped),
            ..station()
        };
        assert_eq!(acts(&stopped), [Act::Start]);
        let away = StationShown {
            linked: false,
            car: false,
            ..station()
        };
        assert_eq!(acts(&away), []);
    }
}
