//! Lines into frames, whatever the format.

use super::{LogError, LogErrorKind, LogFrame, asc, candump, gvret, trc};

/// Reads a recording line by line. The format is recognised by the first line that is of one; a line that cannot be read
/// is an error with its number, and reading goes on with the next.
#[derive(Clone, Debug)]
pub struct LogReader<I> {
    lines: I,
    number: u64,
    format: Option<Format>,
}

#[derive(Clone, Debug)]
enum Format {
    Gvret(gvret::Columns),
    Candump,
    Asc(asc::State),
    Trc(trc::State),
}

impl<L: AsRef<str>, I: Iterator<Item = L>> LogReader<I> {
    /// Reads these lines, with or without their line ends.
    pub fn new(lines: I) -> Self {
        Self {
            lines,
            number: 0,
            format: None,
        }
    }
}

impl Format {
    fn detect(line: &str) -> Option<Self> {
        trc::detect(line)
            .map(Self::Trc)
            .or_else(|| asc::detect(line).map(Self::Asc))
            .or_else(|| gvret::Columns::detect(line).map(Self::Gvret))
            .or_else(|| candump::detect(line).then_some(Self::Candump))
    }

    fn read(&mut self, line: &str) -> Result<Option<LogFrame>, LogErrorKind> {
        match self {
            Self::Gvret(columns) => columns.read(line),
            Self::Candump => candump::read(line),
            Self::Asc(state) => state.read(line),
            Self::Trc(state) => state.read(line),
        }
    }
}

impl<L: AsRef<str>, I: Iterator<Item = L>> Iterator for LogReader<I> {
    type Item = Result<LogFrame, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.lines.next()?;
            self.number += 1;
            let line = line.as_ref().trim_start_matches('\u{feff}').trim();
            let result = match &mut self.format {
                _ if line.is_empty() => continue,
                Some(format) => format.read(line),
                None => match Format::detect(line) {
                    Some(mut format) => {
                        let result = format.read(line);
                        self.format = Some(format);
                        result
                    }
                    // Comments may stand above anything.
                    None if line.starts_with(['#', ';']) || line.starts_with("//") => continue,
                    None => Err(LogErrorKind::UnknownFormat),
                },
            };
            match result {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(kind) => {
                    return Some(Err(LogError {
                        line: self.number,
                        kind,
                    }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Hex;

    /// `time bus id kind data` of each frame, or the error.
    fn read(text: &str) -> Vec<String> {
        LogReader::new(text.lines())
            .map(|result| match result {
                Ok(f) => {
                    let kind = [(f.fd, 'f'), (f.remote, 'r'), (f.error, 'e')];
                    let kind: String = kind.into_iter().filter(|k| k.0).map(|k| k.1).collect();
                    let data = Hex(f.data);
                    format!("{} {} {} {kind} {data}", f.time_us, f.bus, f.id)
                }
                Err(error) => error.to_string(),
            })
            .collect()
    }

    #[test]
    fn gvret() {
        assert_eq!(
            read(
                "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n100,000007DF,false,1,2,02,01,\n200,18DAF110,true,0,1,AA\nx,1,false,0,0\n300,800,false,0,0\n400,1,false,0,8,00\n"
            ),
            [
                "100 1 7DF  0201",
                "200 0 18DAF110  AA",
                "line 4: expected a time in microseconds, found `x`",
                "line 5: expected an identifier, found `800`",
                "line 6: 1 bytes of data where the line says 8",
            ]
        );
        let with_direction = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1\n1,0000012F,true,Rx,2,1,0F\n";
        assert_eq!(read(with_direction), ["1 2 0000012F  0F"]);
        assert_eq!(read("1,0000012F,true,Rx,2,1,0F\n"), ["1 2 0000012F  0F"]);
        assert_eq!(read("1,12F,false,2,1,0F\n"), ["1 2 12F  0F"]);
    }

    #[test]
    fn candump() {
        assert_eq!(
            read(
                "(1436509052.249713) vcan0 044#2A366C\n(1.5) can1 12345678##3AABB\n(2) can1 123#R4\n(3) can1 20000004#0000000000000000\n(3) can1 123#0\n(4) can1 123#\n"
            ),
            [
                "1436509052249713 0 044  2A366C",
                "1500000 1 12345678 f AABB",
                "2000000 1 123 r ",
                "3000000 1 00000004 e 0000000000000000",
                "line 5: expected pairs of hexadecimal digits, at most 64, found `0`",
                "4000000 1 123  ",
            ]
        );
        assert_eq!(
            read(
                "# made by hand\n(2015-07-10 08:17:32.25)  can0  RX - -  123   [2]  11 22   '.\"'\n can0  1F334455   [0]  remote request\n can0       123  [03]  1 2 3\n(75.518) RX6 CF [8] E1 6D 2D AC 3F D0 07 00\n can0  123  [8]  11 22\n"
            ),
            [
                "1436516252250000 0 123  1122",
                "0 0 1F334455 r ",
                "0 0 123 f 010203",
                "75518000 6 0CF  E16D2DAC3FD00700",
                "line 6: 2 bytes of data where the line says 8",
            ]
        );
    }

    #[test]
    fn asc() {
        assert_eq!(
            read(concat!(
                "date Sam Sep 30 15:06:13.191 2017\nbase hex  timestamps absolute\ninternal events logged\n// version 9.0.0\n",
                "Begin Triggerblock Sam Sep 30 15:06:13.191 2017\n   0.000000 Start of measurement\n",
                "   0.015991 CAN 1 Status:chip status error passive - TxErr: 132 RxErr: 0\n",
                "   1.015991 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%\n",
                "   2.501010 1 ErrorFrame ECC: 10100010\n   2.510001 2 100 Tx r\n",
                "   3.098426 1  18EBFF00x       Rx d 2 01 A0    Length = 273910 BitCount = 141 ID = 418119424x\n",
                "   3.1 1  3FF             Tx   d D 55 AA 01 02 03 04 05 06  Length = 232016\n   3.2 1  3FF  Rx d 8 01\n",
                "  30.005021 CANFD   1 Rx        300        1 0 8  8 11 c2 03 04 05 06 07 08   102203  133   303000 e0006659\n",
                "  30.005071 CANFD   3 Rx        30a  Generic_Name_12    1 1 9  12 1 2 3 4 5 6 7 8 9 A B C\n",
                "  30.300981 CANFD   3 Tx     50005x   0 1 5 0 140000 73 200050 7a60\n",
                "  30.4 CANFD   3 Rx   30a  1 1 9  8 1 2 3 4 5 6 7 8\n",
                "  30.45 CANFD   3 Rx   30a  1 1 9  12 1 2 3 4 5 6 7 8 9 A B C 1331984 11 0 46500250\n",
                "  30.5 CANFD   5 Tx ErrorFrame Not Acknowledge error\nEnd TriggerBlock\n",
            )),
            [
                "2501010 1 000 e ",
                "2510001 2 100 r ",
                "3098426 1 18EBFF00  01A0",
                "3100000 1 3FF  55AA010203040506",
                "line 13: 1 bytes of data where the line says 8",
                "30005021 1 300 f 11C2030405060708",
                "30005071 3 30A f 0102030405060708090A0B0C",
                "30300981 3 00050005 r ",
                "line 17: 8 bytes of data where the line says 12",
                "30450000 3 30A f 0102030405060708090A0B0C",
                "30500000 5 000 e ",
            ]
        );
        let decimal = "date x\nbase dec  timestamps relative\n0.5 Start of measurement\n0.5 1 100 Rx d 2 255 10\n1 1 100x Rx d 1 0\n";
        assert_eq!(
            read(decimal),
            ["1000000 1 064  FF0A", "2000000 1 00000064  00"]
        );
    }

    #[test]
    fn trc() {
        assert_eq!(
            read(
                ";####\n;   C:\\x.trc\n     1)     17535  00000100  2  00 01\n     2)     17540  FFFFFFFF  4  00 00 00 08 -- BUSHEAVY\n    12)     48937      0704  1  RTR\n"
            ),
            ["17535000 0 00000100  0001", "48937000 0 704 r "]
        );
        assert_eq!(
            read(
                ";$FILEVERSION=1.1\n;x\n     1)     17535.4  Tx     00000100  2  00 01\n     2)     17540.3  Warng  FFFFFFFF  4  00 00 00 08  BUSHEAVY\n     3)  1  Rx  0704  8  00\n"
            ),
            [
                "17535400 0 00000100  0001",
                "line 5: 1 bytes of data where the line says 8"
            ]
        );
        assert_eq!(
            read(";$FILEVERSION=1.3\n     1)     17535.400 1  Tx    00000100 -  2    00 01\n"),
            ["17535400 1 00000100  0001"]
        );
        assert_eq!(
            read(
                ";$FILEVERSION=2.0\n;$COLUMNS=N,O,T,I,d,l,D\n 1 17535.400 DT 00000100 Tx 2  00 01\n 2 17540.300 ST  Rx  00 00 00 08\n 3 48937.6 RR 0704 Rx 1\n"
            ),
            ["17535400 0 00000100  0001", "48937600 0 704 r "]
        );
        assert_eq!(
            read(
                ";$FILEVERSION=2.1\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n 1 2501.000 DT 2 00C8 Tx - 1 09\n 2 1 FB 2 00C8 Rx - 9 0 1 2 3 4 5 6 7 8 9 A B\n 3 1 ER 1 - Rx - 5 00 00 00 00 00\n"
            ),
            [
                "2501000 2 0C8  09",
                "1000 2 0C8 f 000102030405060708090A0B",
                "1000 1 000 e "
            ]
        );
    }

    #[test]
    fn anything_else() {
        assert_eq!(read("hello\n\n1 2 3\n").len(), 2);
    }
}
