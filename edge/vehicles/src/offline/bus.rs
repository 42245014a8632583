//! Recorded frames into values.

use std::sync::Arc;

use crate::{
    Reading,
    dbc::{Dbc, Decoder, Warning},
    log::{LogError, LogReader},
};

/// One value of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct LogValue {
    /// Time of its frame in microseconds, as the recording counts.
    pub time_us: u64,
    /// Number of the bus in the recording.
    pub bus: u16,
    /// `Message.Signal`.
    pub signal: Arc<str>,
    /// Value by the file's factor and offset.
    pub value: f64,
}

/// A signal's name, and factor and offset as floats: converting them for each value takes longer than decoding it. None
/// where the raw integer is not a signed one.
type Named = (Arc<str>, Option<(f64, f64)>);

/// The values of a recording, frame by frame; lines that cannot be read are errors between them.
pub struct LogValues<I> {
    frames: LogReader<I>,
    decoder: Decoder,
    signals: Vec<Named>,
    warnings: Vec<Warning>,
    readings: Vec<Reading>,
    /// Values of the current frame that are still to be given.
    pending: std::vec::IntoIter<LogValue>,
}

/// Decodes a recorded bus by a DBC file. Remote and error frames have no values; frames that the file does not know are
/// passed over.
pub fn decode_log<L: AsRef<str>, I: Iterator<Item = L>>(dbc: &[u8], lines: I) -> LogValues<I> {
    let dbc = Dbc::parse(dbc);
    let decoder = Decoder::new(&dbc);
    let signals = decoder.signals().iter().map(|signal| {
        let linear = match signal.def.encoding {
            shared_protocol::Encoding::Scaled { scale, offset } => {
                Some((scale.to_f64(), offset.to_f64()))
            }
            _ => None,
        };
        (format!("{}.{}", signal.message, signal.name).into(), linear)
    });
    LogValues {
        frames: LogReader::new(lines),
        signals: signals.collect(),
        decoder,
        warnings: dbc.warnings,
        readings: Vec::new(),
        pending: Vec::new().into_iter(),
    }
}

impl<I> LogValues<I> {
    /// What of the DBC file was left out.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl<L: AsRef<str>, I: Iterator<Item = L>> Iterator for LogValues<I> {
    type Item = Result<LogValue, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(value) = self.pending.next() {
                return Some(Ok(value));
            }
            let frame = match self.frames.next()? {
                Ok(frame) if frame.remote || frame.error => continue,
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            self.readings.clear();
            self.decoder
                .decode(frame.id, &frame.data, &mut self.readings);
            let values: Vec<LogValue> = self
                .readings
                .iter()
                .map(|reading| {
                    let (signal, linear) = &self.signals[reading.signal as usize];
                    let value = match linear {
                        Some((scale, offset)) => reading.raw as f64 * scale + offset,
                        None => self.decoder.signals()[reading.signal as usize]
                            .def
                            .encoding
                            .value(reading.raw),
                    };
                    LogValue {
                        time_us: frame.time_us,
                        bus: frame.bus,
                        signal: signal.clone(),
                        value,
                    }
                })
                .collect();
            self.pending = values.into_iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_by_a_file() {
        let dbc = b"BO_ 291 A: 8 X\n SG_ S : 0|8@1+ (0.5,-1) [0|0] \"\" X\n SG_ T : 8|8@1+ (1,0) [0|0] \"\" X\n";
        let log = "(0.100000) can3 123#0402\n(0.100000) can3 124#04\nbad\n(0.200000) can3 123#R\n(0.300000) can3 123#05";
        let values: Vec<_> = decode_log(dbc, log.lines()).collect();
        let value = |time_us, signal: &str, value| {
            Ok(LogValue {
                time_us,
                bus: 3,
                signal: signal.into(),
                value,
            })
        };
        assert_eq!(values.len(), 4);
        assert_eq!(values[0], value(100_000, "A.S", 1.0));
        assert_eq!(values[1], value(100_000, "A.T", 2.0));
        assert_eq!(values[2].as_ref().unwrap_err().line, 3);
        assert_eq!(values[3], value(300_000, "A.S", 1.5));
    }
}
