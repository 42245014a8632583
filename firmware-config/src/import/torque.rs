//! CSV files of Torque: name, short name, mode and PID, equation, least and greatest value, unit, header.

use super::{
    Asked, Commands,
    expression::{self, Names},
    signal,
};

pub(super) fn read(text: &str, commands: &mut Commands) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut any = false;
    for record in reader.records() {
        let record = record.map_err(|error| format!("not CSV: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default();
        // The heading, which not all files have.
        if field(2).to_ascii_lowercase().contains("pid") || field(0).starts_with('#') {
            any = true;
            continue;
        }
        let place = format!("line {line} `{}`", field(0));
        if record.len() < 8 {
            commands.note(
                &place,
                format!("expected eight fields, found {}", record.len()),
            );
            continue;
        }
        any = true;
        let payload = field(2).trim_start_matches("0x").trim_start_matches("0X");
        let taken = Asked::new(field(7), payload).and_then(|asked| {
            // A is the first byte after service and identifier.
            let linear = expression::read(field(3), Names::Letters, Some)?;
            let bounds = [field(4).parse().ok(), field(5).parse().ok()];
            Ok((asked, signal(field(0), field(6), &linear, bounds)))
        });
        match taken {
            Ok((asked, signal)) => commands.add(&place, asked, signal),
            Err(why) => commands.note(&place, why),
        }
    }
    if any {
        Ok(())
    } else {
        Err("not a list of PIDs of Torque: no line has eight fields".to_owned())
    }
}
