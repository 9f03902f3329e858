//! The bytes of a spend file, version 1; all numbers little-endian.
//!
//! A header page of 4,096 bytes: magic, version, slot size, generation, birth, id, time of settlement, name, checksum. Then
//! slots of 128 bytes: a line with the meter's key, a line with the key's checksum and the counters, so that a count touches
//! one cache line. The checksum is FNV-1a, 64 bits: it finds torn writes, not attackers.

use tollgate_metering::{
    BillingType, Incarnation, Meter, Period, PlanId, ProductId, UnixMillis, WalletId,
};
use uuid::Uuid;

/// Bytes before the first slot: a page, so that chunks can be mapped.
pub(super) const HEADER_BYTES: usize = 4_096;
/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = 128;
/// 64-bit words of a key.
pub(super) const KEY_WORDS: usize = 8;

const MAGIC: [u8; 8] = *b"TOLLSPND";
const VERSION: u32 = 1;
const NAME_BYTES_MAX: usize = 128;
/// The part of the header that its checksum covers.
const SEALED_BYTES: usize = 192;

const _: () = assert!(NAME_AT + NAME_BYTES_MAX <= SEALED_BYTES);

const VERSION_AT: usize = 8;
const SLOT_BYTES_AT: usize = 12;
const GENERATION_AT: usize = 16;
const BORN_AT: usize = 24;
const ID_AT: usize = 32;
const SETTLED_AT: usize = 48;
const NAME_LENGTH_AT: usize = 56;
const NAME_AT: usize = 58;

/// Whose file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) incarnation: Incarnation,
    pub(super) generation: u32,
    /// Name of the gateway, cut to 128 bytes.
    pub(super) gateway: String,
    pub(super) settled_at: Option<UnixMillis>,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// Something else, or cut off before the header ends.
    #[error("it is not a spend file")]
    Foreign,
    /// Written by a later version of this program.
    #[error("it has version {version}, this program reads up to {VERSION}")]
    Newer {
        /// Its version.
        version: u32,
    },
    /// The checksum does not fit.
    #[error("its header is damaged")]
    Damaged,
}

/// A meter in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) [u64; KEY_WORDS]);

// === impl Header ===

impl Header {
    pub(super) fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let name = &self.gateway.as_bytes()[..self.gateway.floor_char_boundary(NAME_BYTES_MAX)];
        put(0, &MAGIC);
        put(VERSION_AT, &VERSION.to_le_bytes());
        put(SLOT_BYTES_AT, &(SLOT_BYTES as u32).to_le_bytes());
        put(GENERATION_AT, &self.generation.to_le_bytes());
        put(BORN_AT, &self.incarnation.born.0.to_le_bytes());
        put(ID_AT, self.incarnation.id.as_bytes());
        put(SETTLED_AT, &self.settled_at.map_or(0, |at| at.0).to_le_bytes());
        put(NAME_LENGTH_AT, &(name.len() as u16).to_le_bytes());
        put(NAME_AT, name);
        let seal = checksum(&bytes[..SEALED_BYTES]);
        bytes[SEALED_BYTES..SEALED_BYTES + 8].copy_from_slice(&seal.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, HeaderProblem> {
        if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
            return Err(HeaderProblem::Foreign);
        }
        let version = u32::from_le_bytes(part(bytes, VERSION_AT));
        if version > VERSION {
            return Err(HeaderProblem::Newer { version });
        }
        let name_length = usize::from(u16::from_le_bytes(part(bytes, NAME_LENGTH_AT)));
        let is_sound = checksum(&bytes[..SEALED_BYTES])
            == u64::from_le_bytes(part(bytes, SEALED_BYTES))
            && u32::from_le_bytes(part(bytes, SLOT_BYTES_AT)) == SLOT_BYTES as u32
            && name_length <= NAME_BYTES_MAX;
        if !is_sound {
            return Err(HeaderProblem::Damaged);
        }
        let name = &bytes[NAME_AT..NAME_AT + name_length];
        let settled_at = i64::from_le_bytes(part(bytes, SETTLED_AT));
        Ok(Self {
            incarnation: Incarnation {
                born: UnixMillis(i64::from_le_bytes(part(bytes, BORN_AT))),
                id: Uuid::from_bytes(part(bytes, ID_AT)),
            },
            generation: u32::from_le_bytes(part(bytes, GENERATION_AT)),
            gateway: String::from_utf8_lossy(name).into_owned(),
            settled_at: (settled_at != 0).then_some(UnixMillis(settled_at)),
        })
    }
}

// === impl Key ===

impl Key {
    pub(super) fn of(meter: &Meter) -> Self {
        let mut bytes = [0; KEY_WORDS * 8];
        bytes[..16].copy_from_slice(meter.wallet.0.as_bytes());
        bytes[16..32].copy_from_slice(meter.product.0.as_bytes());
        bytes[32..48].copy_from_slice(meter.plan.0.as_bytes());
        bytes[48] = meter.billing.code();
        bytes[52..56].copy_from_slice(&meter.period.number().to_le_bytes());
        bytes[56..60].copy_from_slice(&meter.revision.to_le_bytes());
        let mut words = [0; KEY_WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(part(bytes, 0));
        }
        Self(words)
    }

    /// The meter, where the words are one.
    pub(super) fn meter(&self) -> Option<Meter> {
        let bytes = self.bytes();
        Some(Meter {
            wallet: WalletId(Uuid::from_bytes(part(&bytes, 0))),
            product: ProductId(Uuid::from_bytes(part(&bytes, 16))),
            plan: PlanId(Uuid::from_bytes(part(&bytes, 32))),
            billing: BillingType::from_code(bytes[48])?,
            period: Period::from_number(u32::from_le_bytes(part(&bytes, 52)))?,
            revision: u32::from_le_bytes(part(&bytes, 56)),
        })
    }

    pub(super) fn checksum(&self) -> u64 {
        checksum(&self.bytes())
    }

    fn bytes(&self) -> [u8; KEY_WORDS * 8] {
        let mut bytes = [0; KEY_WORDS * 8];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// FNV-1a; never 0 for what is written here, so that an empty slot does not look sound.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `N` bytes at an offset that the caller knows to be inside.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range has N bytes")
}
