//! Blocks: numbered, signed, compressed pieces of a gateway's streams.
//!
//! The envelope's body is: length of the header (varint), header (bincode), length of the content (varint),
//! content: as it is when that is its length, else compressed with Zstandard. The header stays readable without
//! decompressing anything. (Version 1 compressed every content, and wrote samples otherwise.)

use std::{borrow::Cow, cell::RefCell};

use bincode::{Decode, Encode};
use zstd::bulk::Decompressor;

use crate::{
    AssetKey, BlockNumber, Column, Digest, GatewayId, OpenError, SampleBody, SigningKey,
    VerifyingKey,
    envelope::{self, Envelope, Kind, MAX_ENVELOPE},
    varint,
};

/// Most numbers that one record of a gap stands for.
pub const MOST_GAPS: u64 = 256;
/// Longest content of a block before compression.
pub const MAX_CONTENT: usize = 8 * 1024 * 1024;
/// Most samples or records in one block.
pub const MAX_SAMPLES: usize = 1 << 20;
const LEVEL: i32 = 3;
/// A header is a few short names and numbers; one that needs more is not read.
const MAX_HEADER: usize = 1024;

/// What is known of a block before its content is opened.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BlockHeader {
    /// Who made it.
    pub gateway: GatewayId,
    /// Its number.
    pub number: BlockNumber,
    /// Random number of the start of the machine whose monotonic clock the times are of.
    pub boot: u64,
    /// What to add to a monotonic time to get microseconds since 1970, when the gateway knew the time at sealing.
    pub wall_offset_us: Option<i64>,
    /// How many samples, records or column definitions it carries; for a gap: how many were dropped.
    pub samples: u32,
    /// How many samples were thinned out of it before it was ever published.
    pub thinned: u32,
    /// How many columns of the epoch have to be known to open it.
    pub columns: u32,
}

/// Why samples are absent for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum DropReason {
    /// The quota was reached and nothing of a lower class was left.
    Quota,
    /// The disk damaged the block.
    Damaged,
}

impl DropReason {
    /// The word in metrics and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Damaged => "damaged",
        }
    }
}

/// Something that happened, as opposed to something that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// Instant in microseconds of the gateway's monotonic clock.
    pub time_us: i64,
    /// What it is about, if anything.
    pub asset: Option<AssetKey>,
    /// What happened: a short name such as `command.answer`.
    pub kind: String,
    /// JSON.
    pub payload: String,
}

/// The content of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Definitions of the epoch's columns from number `first` on.
    Columns {
        /// Number of the first one.
        first: u32,
        /// The definitions.
        columns: Vec<Column>,
    },
    /// Samples.
    Samples(SampleBody),
    /// Records, oldest first.
    Records(Vec<Record>),
    /// Nothing: the samples that had this number are absent for good.
    Gap(DropReason),
    /// Nothing, for the header's number and all up to this one, [`MOST_GAPS`] of them at most: their samples are absent for good,
    /// and the header counts them together.
    Gaps {
        /// Why.
        reason: DropReason,
        /// The last number.
        last: u64,
    },
}

/// A block, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its header.
    pub header: BlockHeader,
    /// Its content.
    pub body: Body,
}

/// Why a block cannot be sealed; the samples stay where they are.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Longer than an envelope may be: seal fewer samples at a time.
    #[error("the block would be longer than {MAX_ENVELOPE} bytes: seal fewer samples at a time")]
    TooLong,
    /// The compressor or the encoder failed.
    #[error("the block cannot be encoded: {0}")]
    Encode(String),
}

#[derive(Encode, Decode)]
enum Content {
    Columns { first: u32, columns: Vec<Column> },
    Samples(Vec<u8>),
    Records(Vec<Record>),
    Gap(DropReason),
    Gaps { reason: DropReason, last: u64 },
}

impl Block {
    /// Encodes, compresses and signs the block.
    pub fn seal(&self, key: &SigningKey) -> Result<Vec<u8>, SealError> {
        let content = match &self.body {
            Body::Columns { first, columns } => Content::Columns {
                first: *first,
                columns: columns.clone(),
            },
            Body::Samples(samples) => Content::Samples(samples.pack()),
            Body::Records(records) => Content::Records(records.clone()),
            Body::Gap(reason) => Content::Gap(*reason),
            Body::Gaps { reason, last } => Content::Gaps {
                reason: *reason,
                last: *last,
            },
        };
        let version = match &self.body {
            Body::Gaps { .. } => envelope::VERSION_OF_RANGES,
            _ => envelope::VERSION,
        };
        let encode = |e: bincode::error::EncodeError| SealError::Encode(e.to_string());
        let content = bincode::encode_to_vec(&content, config()).map_err(encode)?;
        if content.len() > MAX_CONTENT || self.body.len() > MAX_SAMPLES {
            return Err(SealError::TooLong);
        }
        let compressed =
            zstd::bulk::compress(&content, LEVEL).map_err(|e| SealError::Encode(e.to_string()))?;
        let packed = if compressed.len() < content.len() {
            &compressed
        } else {
            &content
        };
        let header = bincode::encode_to_vec(&self.header, config()).map_err(encode)?;
        let mut body = Vec::with_capacity(header.len() + packed.len() + 12);
        varint::put(&mut body, header.len() as u64);
        body.extend(header);
        varint::put(&mut body, content.len() as u64);
        body.extend(packed);
        envelope::seal_as(version, Kind::Block, &body, key).ok_or(SealError::TooLong)
    }
}

impl Body {
    /// How many definitions, samples or records it carries; 0 for a gap.
    pub fn len(&self) -> usize {
        match self {
            Self::Columns { columns, .. } => columns.len(),
            Self::Samples(samples) => samples.len(),
            Self::Records(records) => records.len(),
            Self::Gap(_) | Self::Gaps { .. } => 0,
        }
    }

    /// Whether it carries nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A block whose frame and header are sound, not believed and not decompressed yet.
#[derive(Clone, Debug)]
pub struct SealedBlock<'a> {
    /// Its header, to find the key by; believed only after [`SealedBlock::verify`].
    pub header: BlockHeader,
    /// The digest of all its bytes.
    pub digest: Digest,
    envelope: Envelope<'a>,
    content_len: usize,
    packed: &'a [u8],
}

impl<'a> SealedBlock<'a> {
    /// Reads frame and header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let envelope = Envelope::open(bytes, Kind::Block)?;
        let (header, content_len, packed) = parts(envelope)?;
        let len = header.len();
        let (header, used) = bincode::decode_from_slice::<BlockHeader, _>(header, config())
            .map_err(|e| OpenError::Content(format!("header: {e}")))?;
        if used != len {
            return Err(OpenError::Content(
                "something follows the header".to_owned(),
            ));
        }
        Ok(Self {
            header,
            digest: envelope.digest(),
            envelope,
            content_len,
            packed,
        })
    }

    /// The same of bytes that were opened before, with the header and the digest that were found: neither is computed twice.
    pub fn again(bytes: &'a [u8], header: BlockHeader, digest: Digest) -> Result<Self, OpenError> {
        let envelope = Envelope::again(bytes)?;
        let (_, content_len, packed) = parts(envelope)?;
        Ok(Self {
            header,
            digest,
            envelope,
            content_len,
            packed,
        })
    }

    /// Checks the gateway's signature.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), OpenError> {
        self.envelope.verify(key, self.header.gateway.as_str())
    }

    /// Decompresses and decodes the content. Call [`SealedBlock::verify`] first: this is where memory is spent
    /// (at most [`MAX_CONTENT`] and the vectors made of it).
    pub fn content(&self) -> Result<Body, OpenError> {
        let wrong = |what: String| OpenError::Content(what);
        let announced = self.header.samples as usize;
        let old = self.envelope.version() == 1;
        let plain = if !old && self.packed.len() == self.content_len {
            Cow::Borrowed(self.packed)
        } else {
            Cow::Owned(self.decompressed()?)
        };
        let (content, used) = bincode::decode_from_slice::<Content, _>(&plain, config())
            .map_err(|e| wrong(format!("content: {e}")))?;
        if used != plain.len() {
            return Err(wrong("something follows the content".into()));
        }
        let body = match content {
            Content::Columns { first, columns } => Body::Columns { first, columns },
            Content::Samples(samples) => {
                let samples = if announced > MAX_SAMPLES {
                    return Err(wrong(format!("{announced} samples are too many")));
                } else if old {
                    SampleBody::read_version_1(&samples)
                } else {
                    SampleBody::unpack(&samples, announced)
                };
                Body::Samples(samples.map_err(|e| wrong(e.to_string()))?)
            }
            Content::Records(records) => Body::Records(records),
            Content::Gap(reason) => Body::Gap(reason),
            Content::Gaps { reason, last } => {
                let first = self.header.number.seq;
                if last <= first || last - first >= MOST_GAPS {
                    return Err(wrong(format!("{first} to {last} is no range of gaps")));
                }
                if self.envelope.version() < envelope::VERSION_OF_RANGES {
                    return Err(wrong("a range of gaps in a version without".into()));
                }
                Body::Gaps { reason, last }
            }
        };
        if !matches!(body, Body::Gap(_) | Body::Gaps { .. }) && body.len() != announced {
            return Err(wrong(format!(
                "{announced} samples were announced, {} are there",
                body.len()
            )));
        }
        if let Body::Samples(samples) = &body
            && samples
                .series
                .last()
                .is_some_and(|last| last.column >= self.header.columns)
        {
            return Err(wrong(
                "a column is used that the header does not announce".into(),
            ));
        }
        Ok(body)
    }

    fn decompressed(&self) -> Result<Vec<u8>, OpenError> {
        thread_local! {
            /// What a decompressor needs to work, 150 kB: taken once, not for each block.
            static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
        }
        let wrong = |why: &str| {
            OpenError::Content(format!(
                "the content is not the {} bytes it was announced as{why}",
                self.content_len
            ))
        };
        // One byte more than announced would be refused; pages that nothing is written to are never taken.
        let plain = DECOMPRESSOR.with_borrow_mut(|kept| {
            let decompressor = match kept {
                Some(decompressor) => decompressor,
                None => kept.insert(Decompressor::new()?),
            };
            decompressor.decompress(self.packed, self.content_len)
        });
        let plain = plain.map_err(|error: std::io::Error| wrong(&format!(": {error}")))?;
        if plain.len() == self.content_len {
            Ok(plain)
        } else {
            Err(wrong(""))
        }
    }
}

/// The header, the length of the content, and the content.
fn parts(envelope: Envelope<'_>) -> Result<(&[u8], usize, &[u8]), OpenError> {
    let content = |what: &str| OpenError::Content(what.to_owned());
    let mut body = envelope.body();
    let len = varint::take_count(&mut body)
        .filter(|&len| len <= MAX_HEADER)
        .ok_or_else(|| content("no header"))?;
    let (header, mut rest) = body.split_at(len);
    let content_len = varint::take(&mut rest)
        .and_then(|len| usize::try_from(len).ok())
        .filter(|&len| len <= MAX_CONTENT)
        .ok_or_else(|| content("the content is announced too long"))?;
    Ok((header, content_len, rest))
}

fn config() -> impl bincode::config::Config {
    // The limit keeps announced lengths of vectors and texts from being allocated before their bytes are seen.
    bincode::config::standard().with_limit::<MAX_CONTENT>()
}
