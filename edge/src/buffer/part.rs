//! A part of the journal: samples that are durable and not sealed yet. Like a block it says by itself what it is and
//! whether it is whole, so that it can be found again in a damaged database.

use bincode::{Decode, Encode};
use shared_protocol::{Epoch, SampleBody, Stream};

use super::Sample;

const MAGIC: [u8; 3] = *b"Pj\x02";
const HEAD: usize = MAGIC.len() + 4;

/// Whose samples a part holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Part {
    /// The epoch that numbered the columns.
    pub(super) epoch: Epoch,
    /// The stream in which they are open.
    pub(super) stream: Stream,
    /// The start of the machine whose monotonic clock the times are of.
    pub(super) boot: u64,
    /// What to add to them to get microseconds since 1970, if that was known.
    pub(super) wall_offset_us: Option<i64>,
    /// How many samples.
    pub(super) samples: u32,
}

impl Part {
    /// Counter and nonce of its epoch, and the number of its stream.
    pub(super) fn key(&self) -> (u32, u64, u8) {
        (self.epoch.counter, self.epoch.nonce, self.stream.number())
    }

    /// The bytes of a part: magic, CRC-32 of the rest, header, packed samples.
    pub(super) fn encode(
        &self,
        samples: &[Sample],
    ) -> Result<Vec<u8>, bincode::error::EncodeError> {
        let header = bincode::encode_to_vec(self, bincode::config::standard())?;
        let packed = SampleBody::from_samples(samples.iter().map(Sample::tuple)).pack();
        let mut bytes = Vec::with_capacity(HEAD + header.len() + packed.len());
        bytes.extend(MAGIC);
        bytes.extend([0; 4]);
        bytes.extend(header);
        bytes.extend(packed);
        let sum = crc32fast::hash(&bytes[HEAD..]).to_le_bytes();
        bytes[MAGIC.len()..HEAD].copy_from_slice(&sum);
        Ok(bytes)
    }

    /// Reads a part; `None` when it is not a whole one.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, SampleBody)> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        if !head.starts_with(&MAGIC) || head[MAGIC.len()..] != crc32fast::hash(rest).to_le_bytes() {
            return None;
        }
        let config = bincode::config::standard().with_limit::<256>();
        let (part, used) = bincode::decode_from_slice::<Self, _>(rest, config).ok()?;
        let body = SampleBody::unpack(&rest[used..], part.samples as usize).ok()?;
        (body.len() == part.samples as usize).then_some((part, body))
    }

    /// Reads what a gateway before this format journalled: samples alone.
    pub(super) fn decode_old(bytes: &[u8]) -> Option<SampleBody> {
        SampleBody::read_version_1(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let samples: Vec<_> = (0..50)
            .map(|n| Sample {
                column: 3,
                time_us: n * 1000,
                raw: n * n,
            })
            .collect();
        let part = Part {
            epoch: Epoch {
                counter: 3,
                nonce: 9,
            },
            stream: Stream::Bulk,
            boot: 77,
            wall_offset_us: None,
            samples: 50,
        };
        let bytes = part.encode(&samples).unwrap();
        let (found, body) = Part::decode(&bytes).unwrap();
        assert_eq!(found, part);
        assert!(body.iter().eq(samples.iter().map(Sample::tuple)));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Part::decode(&bytes).is_none(), "bit {bit}");
        }
    }
}
