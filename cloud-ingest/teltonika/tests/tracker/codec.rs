use proptest::prelude::*;
use teltonika::{
    Arrival, CodecError, Datagram, Imei, Kind, Message, MessageCodec, Packet, RecordCodec, Stream,
    login,
};

use crate::generate::{imei, records};

fn id() -> Imei {
    "356307042441013".parse().unwrap()
}

/// Everything that comes of bytes that arrive in pieces, up to the first error.
fn take_apart(pieces: &[&[u8]]) -> (Vec<Arrival>, Option<CodecError>) {
    let (mut stream, mut arrivals) = (Stream::default(), Vec::new());
    for piece in pieces {
        stream.push(piece);
        loop {
            match stream.next() {
                Ok(Some(arrival)) => arrivals.push(arrival),
                Ok(None) => break,
                Err(error) => return (arrivals, Some(error)),
            }
        }
    }
    (arrivals, None)
}

proptest! {
    #[test]
    fn what_is_written_is_read((codec, records) in records()) {
        let packet = Packet::Records(codec, records);
        prop_assert_eq!(Packet::read(&packet.data()), Ok(packet));
    }

    #[test]
    fn a_stream_may_be_cut_anywhere(
        all in prop::collection::vec(records(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bytes = login(id());
        let mut expected = vec![Arrival::Login(id())];
        for (codec, records) in all {
            bytes.push(0xFF);
            let packet = Packet::Records(codec, records);
            bytes.extend(packet.frame());
            expected.extend([Arrival::Ping, Arrival::Packet(packet)]);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(take_apart(&pieces), (expected, None));
    }

    #[test]
    fn a_changed_byte_is_found((codec, records) in records(), at in any::<prop::sample::Index>(), by in 1u8..) {
        let packet = Packet::Records(codec, records);
        let mut frame = packet.frame();
        let at = at.index(frame.len());
        frame[at] ^= by;
        let (arrivals, _) = take_apart(&[&login(id()), &frame]);
        // A frame that says it is longer is waited for; nothing of it is ever used.
        prop_assert!(!arrivals.iter().any(|arrival| matches!(arrival, Arrival::Packet(_))));
    }

    #[test]
    fn noise_is_an_error_or_waits(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Packet::read(&bytes);
        let _ = Datagram::read(&bytes);
        let mut data = vec![0u8];
        for codec in [0x08, 0x8E, 0x10, 0x0C, 0x0D, 0x0E] {
            data[0] = codec;
            data.truncate(1);
            data.extend(&bytes);
            if let Ok(Packet::Records(_, records)) = Packet::read(&data) {
                let elements: usize = records.iter().map(|record| record.elements.len()).sum();
                prop_assert!(elements <= data.len() / 2);
            }
        }
    }

    #[test]
    fn datagrams((codec, records) in records(), imei in imei(), packet: u16, avl: u8) {
        let content = Packet::Records(codec, records);
        let datagram = Datagram { packet, avl, imei, content };
        let mut bytes = datagram.write();
        prop_assert_eq!(Datagram::read(&bytes), Ok(datagram));
        bytes.push(0);
        prop_assert!(Datagram::read(&bytes).is_err());
    }

    #[test]
    fn messages(imei in imei(), text in "[ -~]{0,200}", time: u32) {
        let command = Message::command(&text);
        let answer = |codec, kind, time, imei| Message { codec, kind, time, imei, payload: text.clone().into_bytes() };
        for message in [
            command,
            Message::command_for(imei, &text),
            answer(MessageCodec::Twelve, Kind::Answer, None, None),
            answer(MessageCodec::Twelve, Kind::Other(13), None, None),
            answer(MessageCodec::Thirteen, Kind::Answer, Some(time), None),
            answer(MessageCodec::Fourteen, Kind::Refusal, None, Some(imei)),
        ] {
            let packet = Packet::Message(message);
            prop_assert_eq!(Packet::read(&packet.data()), Ok(packet));
        }
    }
}

/// The command of the wiki's page on codec 12, made of its fields.
#[test]
fn a_command_is_framed_as_documented() {
    let frame = Packet::Message(Message::command("getinfo")).frame();
    assert_eq!(
        hex::encode(frame),
        "000000000000000f0c010500000007676574696e666f0100004312"
    );
}

#[test]
fn every_fault_has_its_own_words() {
    let logged_in = |frame: &[u8]| take_apart(&[&login(id()), frame]).1.unwrap().to_string();
    let frame = |data: &[u8]| {
        let mut out = vec![0; 4];
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(data);
        out.extend(u32::from(teltonika::crc::crc16(data)).to_be_bytes());
        out
    };
    let stranger = |bytes: &[u8]| take_apart(&[bytes]).1.unwrap().to_string();
    for (found, expected) in [
        (stranger(b"GET / HTTP/1.1"), "an IMEI of 18245 bytes"),
        (stranger(b"\x00\x0f35630704244101X"), "is not an IMEI"),
        (logged_in(&[1, 0, 0, 0]), "four zero bytes"),
        (logged_in(&[0, 0, 0, 0, 0, 1, 0, 0]), "65536 bytes"),
        (logged_in(&[0, 0, 0, 0, 0, 0, 0, 0]), "0 bytes"),
        (logged_in(&frame(&[7, 0, 0])), "codec 0x07"),
        (
            logged_in(&frame(&[8, 0, 1])),
            "0 before and 1 after, records",
        ),
        (logged_in(&frame(&[8, 1, 0])), "ends within the time"),
        (logged_in(&frame(&[8, 0, 0, 9])), "1 bytes follow"),
        (
            logged_in(&[0, 0, 0, 0, 0, 0, 0, 3, 8, 0, 0, 0, 0, 0, 1]),
            "CRC-16",
        ),
    ] {
        assert!(found.contains(expected), "{found}: {expected}");
    }
    assert_eq!(
        Packet::read(&[8, 0, 0]),
        Ok(Packet::Records(RecordCodec::Eight, Vec::new()))
    );
}
