//! States, reasons and refusals in the words of whoever looks after the depot at night.

use load_manager::Alarm;

use super::guard::Out;
use crate::control::{Act, Reason, Refused, StationShown, Want};

/// Why somebody does not come in.
pub(super) fn out(out: Out) -> String {
    match out {
        Out::Wrong => "El PIN no es correcto.".to_owned(),
        Out::Locked(seconds) => format!(
            "Demasiados intentos. Espere {} min e intente de nuevo.",
            (seconds + 59) / 60
        ),
        Out::Failed => "El PIN no se puede revisar ahora. Intente de nuevo.".to_owned(),
    }
}

/// What a station does, and how that is to look.
pub(super) fn state(station: &StationShown) -> (&'static str, &'static str) {
    if !station.linked {
        ("Sin comunicación", "bad")
    } else if !station.car {
        ("Libre", "quiet")
    } else if station.wanted == Some(Want::Stopped) {
        ("Detenido", "waits")
    } else if station.limit > 0.0 {
        ("Cargando", "good")
    } else {
        ("En espera", "waits")
    }
}

/// What keeps a station from getting more.
pub(super) fn why(reason: &Reason) -> String {
    match reason {
        Reason::Unheard => {
            "No hay comunicación con el cargador. Carga solo, con su corriente de reserva.".into()
        }
        Reason::NoCar => "No hay auto que pida carga.".into(),
        Reason::Stopped => "Se detuvo desde esta página.".into(),
        Reason::Nothing => "Carga con todo lo que da el cargador.".into(),
        Reason::Car => "El auto no pide más.".into(),
        Reason::Plan => "El plan de la noche le da esto por ahora.".into(),
        Reason::Slowly => "La corriente sube poco a poco.".into(),
        Reason::Rests => "Se pausó hace un momento; vuelve en un minuto, si hay lugar.".into(),
        Reason::Others => "Otros autos van antes.".into(),
        Reason::Contract => "Para no pasar el límite del contrato de luz.".into(),
        Reason::Unbalance => "Una fase ya lleva más carga que las otras.".into(),
        Reason::Circuit(id) => format!("El circuito {id} ya lleva todo lo que puede."),
        Reason::Neutral(id) => format!("El neutro del circuito {id} ya lleva todo lo que puede."),
        Reason::Silent(id) => {
            format!("El medidor de {id} no responde; se carga con la corriente de reserva.")
        }
        Reason::Hot(id) => format!("El interruptor de {id} está caliente; se deja enfriar."),
        Reason::Unreliable => "El cargador no obedece. Revíselo.".into(),
    }
}

/// What people should look at.
pub(super) fn alarm(alarm: &Alarm) -> String {
    match alarm {
        Alarm::MeterSilent(id) => {
            format!("El medidor del circuito {id} no responde. Revise su alimentación y su red.")
        }
        Alarm::Overload(id, phase) => {
            format!("El circuito {id} lleva más que su interruptor en la fase {phase}.")
        }
        Alarm::Disobeys(id) => format!("El cargador {id} toma más de lo que se le permite."),
        Alarm::Unheard(id) => format!("El cargador {id} no acepta lo que se le ordena."),
        Alarm::KeepsPhases(id) => {
            format!("El cargador {id} usa todas sus fases aunque se le pide una sola.")
        }
        Alarm::ClaimsMore(id) => {
            format!(
                "El cargador {id} dice que daría más de lo que se le ordenó. Revise su configuración."
            )
        }
    }
}

/// What is written on a button.
pub(super) fn button(act: Act) -> &'static str {
    match act {
        Act::Start => "Iniciar carga",
        Act::Stop => "Detener carga",
        Act::First => "Este auto primero",
        Act::NotFirst => "Ya no primero",
    }
}

/// What became of it.
pub(super) fn done(act: Act, station: &str, done: &Result<(), Refused>) -> String {
    let Err(refused) = done else {
        let what = match act {
            Act::Start => "la carga va a iniciar.",
            Act::Stop => "la carga se detiene.",
            Act::First => {
                "su auto va primero, hasta que termine su carga o pasen 8 horas. Tarda un poco en notarse."
            }
            Act::NotFirst => "su auto ya no va primero.",
        };
        return format!("{station}: {what}");
    };
    let why = match refused {
        Refused::NoStation => "el depósito no tiene ese cargador.".to_owned(),
        Refused::Unheard => "no hay comunicación con el cargador.".to_owned(),
        Refused::NoCar => "no hay auto.".to_owned(),
        Refused::Charges => "el auto ya carga o espera su turno.".to_owned(),
        Refused::NotFirst => "su auto no iba primero.".to_owned(),
        Refused::NoToken => {
            "este gateway no tiene tarjeta para iniciar cargas; use la tarjeta en el cargador."
                .to_owned()
        }
        Refused::Asked(why) => format!("no se le puede ordenar ahora ({why})."),
        Refused::Says(status) => format!("el cargador contesta que no ({status})."),
        Refused::Silent => "el cargador no contesta.".to_owned(),
        Refused::Disk(why) => format!("el gateway no puede guardarlo ({why})."),
    };
    format!("{station}: no se hizo; {why}")
}
