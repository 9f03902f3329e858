//! The spend file: what one incarnation counted, kept where `kill -9` cannot take it.
//!
//! Units are counted in a memory-mapped file, one slot per meter with the value last acknowledged beside it, before the first
//! byte of the answer is passed on. The kernel owns the pages, so a killed process loses nothing that was answered. A power cut
//! loses what was neither synced (every second) nor written back.
//! One file per incarnation, locked (`flock`) as long as a process uses it. It grows by chunks whose blocks are allocated
//! before they are mapped, so that a full disk refuses a new meter instead of killing the process at a store.
//! Invariants: a slot's units and acknowledged units never fall; a slot is counted on only after its key and checksum are
//! there; a file with anything unreadable in it is never deleted. Layout: `layout`. Bounds: [`SLOTS_MAX`] slots.
//! Not here: when to report what (`sync_client`), which files are done (`folder` deletes what it is told).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::Mutex;
use rustix::fs::FallocateFlags;
use tollgate_metering::{Incarnation, Meter, Units, UnixMillis};

use self::chunk::{Cell, Chunk};
use self::layout::{HEADER_BYTES, Header, Key, SLOT_BYTES};

pub use self::folder::{Found, SpendFolder};
pub use self::layout::HeaderProblem;

mod chunk;
mod folder;
mod layout;

/// Slots in a chunk.
const CHUNK_SLOTS: u32 = 4_096;
/// Chunks in a file.
const CHUNKS_MAX: u32 = 1_024;
/// Meters that one incarnation can count on: 4,194,304, a file of 512 MiB.
pub const SLOTS_MAX: u32 = CHUNK_SLOTS * CHUNKS_MAX;

/// One incarnation's file, open and locked.
#[derive(Debug)]
pub struct SpendFile {
    path: PathBuf,
    file: File,
    header: Mutex<Header>,
    chunks: Box<[OnceLock<Chunk>]>,
    /// Slots in use; the lock is held while the file grows.
    used: Mutex<u32>,
    damages: Vec<Damage>,
}

/// What one slot counts, in nano-units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// Cumulative units.
    pub units: u64,
    /// Cumulative units beyond `max_multiplier`, for suspense.
    pub excess: u64,
}

/// What of a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file ends in the middle of a chunk.
    #[error("it is cut off after {slots} whole slots")]
    CutOff {
        /// Slots before the end.
        slots: u32,
    },
    /// Units without a key that its checksum confirms.
    #[error("slot {slot} counts {units} nano-units on a meter that cannot be read")]
    Slot {
        /// The slot.
        slot: u32,
        /// What stands in it.
        units: u64,
    },
}

/// Why a spend file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpendFileError {
    /// Not one of ours, of a later version, or damaged where it says whose it is.
    #[error("spend file {path}: {problem}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: HeaderProblem,
    },
    /// The operating system refused.
    #[error("spend file {path}: cannot {what}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No slot is left.
    #[error("spend file {path} has no slot left: {SLOTS_MAX} meters")]
    Full {
        /// The file.
        path: PathBuf,
    },
}

// === impl SpendFile ===

impl SpendFile {
    /// Makes the file of an incarnation out of a new, locked, empty one.
    fn begin(path: PathBuf, file: File, header: Header) -> Result<Self, SpendFileError> {
        let spend = Self::new(path, file, header, 0);
        spend.write_header()?;
        spend.chunk_for(0)?;
        Ok(spend)
    }

    /// Reads a locked file that an earlier process left.
    fn found(path: PathBuf, file: File) -> Result<Self, SpendFileError> {
        let mut bytes = vec![0; HEADER_BYTES];
        let io = |what| {
            let path = path.clone();
            move |source| SpendFileError::Io { path, what, source }
        };
        let length = file.metadata().map_err(io("read its length"))?.len();
        let head = usize::try_from(length).map_or(HEADER_BYTES, |length| length.min(HEADER_BYTES));
        file.read_exact_at(&mut bytes[..head], 0).map_err(io("read its header"))?;
        let header = Header::read(&bytes[..head])
            .map_err(|problem| SpendFileError::Header { path: path.clone(), problem })?;
        let chunk_bytes = u64::from(CHUNK_SLOTS) * SLOT_BYTES as u64;
        let body = length - HEADER_BYTES as u64;
        let slots = u32::try_from(body / SLOT_BYTES as u64).unwrap_or(SLOTS_MAX).min(SLOTS_MAX);
        let mut found = Self::new(path, file, header, slots);
        for first in (0..slots).step_by(CHUNK_SLOTS as usize) {
            let chunk = found.map((slots - first).min(CHUNK_SLOTS), first)?;
            let place = (first / CHUNK_SLOTS) as usize;
            found.chunks[place].set(chunk).expect("each chunk is mapped once");
        }
        if !body.is_multiple_of(chunk_bytes) || body == 0 {
            found.damages.push(Damage::CutOff { slots });
        }
        let damages: Vec<_> = (0..slots).filter_map(|slot| found.damage(slot)).collect();
        found.damages.extend(damages);
        Ok(found)
    }

    fn new(path: PathBuf, file: File, header: Header, used: u32) -> Self {
        let chunks = (0..CHUNKS_MAX).map(|_| OnceLock::new()).collect();
        let (header, used) = (Mutex::new(header), Mutex::new(used));
        Self { path, file, header, chunks, used, damages: Vec::new() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose units it holds.
    pub fn incarnation(&self) -> Incarnation {
        self.header.lock().incarnation
    }

    /// The ledger's generation that its acknowledgements are of.
    pub fn generation(&self) -> u32 {
        self.header.lock().generation
    }

    /// When everything in it was found acknowledged, by the gateway's clock.
    pub fn settled_at(&self) -> Option<UnixMillis> {
        self.header.lock().settled_at
    }

    /// What cannot be read of it.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// Takes a free slot for a meter, with zero units.
    ///
    /// # Errors
    /// [`SpendFileError::Full`], or [`SpendFileError::Io`] where the disk is full: nothing may be counted on the meter then.
    pub fn allocate(&self, meter: &Meter) -> Result<u32, SpendFileError> {
        let mut used = self.used.lock();
        let slot = *used;
        if slot >= SLOTS_MAX {
            return Err(SpendFileError::Full { path: self.path.clone() });
        }
        let chunk = self.chunk_for(slot)?;
        chunk.write_key(slot % CHUNK_SLOTS, &Key::of(meter));
        *used = slot + 1;
        Ok(slot)
    }

    /// Allocates the next chunk while the last one is half empty, so that a call seldom waits for it.
    ///
    /// # Errors
    /// [`SpendFileError::Io`] where the disk is full; there is room yet.
    pub fn grow_ahead(&self) -> Result<(), SpendFileError> {
        let used = self.used.lock();
        let ahead = *used + CHUNK_SLOTS / 2;
        if ahead < SLOTS_MAX {
            self.chunk_for(ahead)?;
        }
        Ok(())
    }

    /// Records what a slot counts; totals only grow, and the caller orders the stores of one slot.
    pub fn store(&self, slot: u32, units: u64) {
        self.chunk(slot).set(slot % CHUNK_SLOTS, Cell::Units, units);
    }

    /// Adds to a slot's excess, up to the end of its range.
    pub fn add_excess(&self, slot: u32, more: Units) {
        let more = more.min(Units::REGISTER_MAX).register().unwrap_or(0);
        self.chunk(slot).add(slot % CHUNK_SLOTS, Cell::Excess, more);
    }

    /// What a slot counts.
    pub fn spend(&self, slot: u32) -> Spend {
        let (chunk, place) = (self.chunk(slot), slot % CHUNK_SLOTS);
        Spend { units: chunk.get(place, Cell::Units), excess: chunk.get(place, Cell::Excess) }
    }

    /// What of a slot the ledger was last said to have.
    pub fn acknowledged(&self, slot: u32) -> Spend {
        let (chunk, place) = (self.chunk(slot), slot % CHUNK_SLOTS);
        let units = chunk.get(place, Cell::AcknowledgedUnits);
        Spend { units, excess: chunk.get(place, Cell::AcknowledgedExcess) }
    }

    /// Raises what the ledger is said to have of a slot.
    pub fn acknowledge(&self, slot: u32, spend: Spend) {
        let (chunk, place) = (self.chunk(slot), slot % CHUNK_SLOTS);
        chunk.raise(place, Cell::AcknowledgedUnits, spend.units);
        chunk.raise(place, Cell::AcknowledgedExcess, spend.excess);
    }

    /// Whether the ledger lacks nothing of a slot.
    pub fn is_acknowledged(&self, slot: u32) -> bool {
        let (spend, known) = (self.spend(slot), self.acknowledged(slot));
        known.units >= spend.units && known.excess >= spend.excess
    }

    /// The slots in use that can be read, with their meters.
    pub fn meters(&self) -> impl Iterator<Item = (u32, Meter)> {
        let used = *self.used.lock();
        (0..used).filter_map(|slot| {
            let key = self.chunk(slot).read_key(slot % CHUNK_SLOTS)?;
            Some((slot, key.meter()?)).filter(|_| self.spend(slot).is_in_range())
        })
    }

    /// Whether the ledger lacks nothing of what can be read.
    pub fn is_settled(&self) -> bool {
        self.meters().all(|(slot, _)| self.is_acknowledged(slot))
    }

    /// Forgets all acknowledgements: the ledger was restored and is another one now.
    ///
    /// # Errors
    /// [`SpendFileError::Io`].
    pub fn restart(&self, generation: u32) -> Result<(), SpendFileError> {
        for (slot, _) in self.meters() {
            let (chunk, place) = (self.chunk(slot), slot % CHUNK_SLOTS);
            chunk.set(place, Cell::AcknowledgedUnits, 0);
            chunk.set(place, Cell::AcknowledgedExcess, 0);
        }
        {
            let mut header = self.header.lock();
            header.generation = generation;
            header.settled_at = None;
        }
        self.write_header()
    }

    /// Notes that everything was found acknowledged.
    ///
    /// # Errors
    /// [`SpendFileError::Io`].
    pub fn mark_settled(&self, at: UnixMillis) -> Result<(), SpendFileError> {
        self.header.lock().settled_at = Some(at);
        self.write_header()
    }

    /// Notes the birth that the restored ledger gave the incarnation.
    ///
    /// # Errors
    /// [`SpendFileError::Io`].
    pub fn set_born(&self, born: UnixMillis) -> Result<(), SpendFileError> {
        self.header.lock().incarnation.born = born;
        self.write_header()
    }

    /// Writes everything to the disk and waits for it. Blocks.
    ///
    /// # Errors
    /// [`SpendFileError::Io`].
    pub fn sync(&self) -> Result<(), SpendFileError> {
        for chunk in self.chunks.iter().map_while(OnceLock::get) {
            chunk.sync().map_err(self.io("sync it"))?;
        }
        Ok(())
    }

    fn write_header(&self) -> Result<(), SpendFileError> {
        let bytes = self.header.lock().to_bytes();
        self.file.write_all_at(&bytes, 0).map_err(self.io("write its header"))?;
        self.file.sync_data().map_err(self.io("sync its header"))
    }

    fn damage(&self, slot: u32) -> Option<Damage> {
        let chunk = self.chunk(slot);
        let spend = self.spend(slot);
        let is_readable = chunk.read_key(slot % CHUNK_SLOTS).and_then(|key| key.meter()).is_some()
            && spend.is_in_range();
        // A slot without units was being taken when the process ended: nothing was counted on it.
        let is_counted = spend.units != 0 || spend.excess != 0;
        (!is_readable && is_counted).then_some(Damage::Slot { slot, units: spend.units })
    }

    fn chunk(&self, slot: u32) -> &Chunk {
        self.chunks[(slot / CHUNK_SLOTS) as usize]
            .get()
            .expect("a slot is handed out after its chunk was mapped")
    }

    /// The chunk of a slot; the file grows by it where it ends before.
    fn chunk_for(&self, slot: u32) -> Result<&Chunk, SpendFileError> {
        let place = (slot / CHUNK_SLOTS) as usize;
        if let Some(chunk) = self.chunks[place].get() {
            return Ok(chunk);
        }
        let first = slot - slot % CHUNK_SLOTS;
        let (start, length) = extent(first, CHUNK_SLOTS);
        self.reserve(start, length)?;
        let chunk = self.map(CHUNK_SLOTS, first)?;
        Ok(self.chunks[place].get_or_init(|| chunk))
    }

    /// Allocates blocks of zeros on the disk.
    fn reserve(&self, start: u64, length: u64) -> Result<(), SpendFileError> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), start, length) {
            Ok(()) => {}
            // A file system without allocation: written zeros take blocks as well.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
                self.file.write_all_at(&zeros, start).map_err(self.io("grow it"))?;
            }
            Err(errno) => return Err(self.io("grow it")(errno.into())),
        }
        self.file.sync_all().map_err(self.io("sync its length"))
    }

    fn map(&self, slots: u32, first: u32) -> Result<Chunk, SpendFileError> {
        let (start, _) = extent(first, slots);
        Chunk::map(&self.file, start, slots).map_err(self.io("map it"))
    }

    fn io(&self, what: &'static str) -> impl FnOnce(io::Error) -> SpendFileError {
        let path = self.path.clone();
        move |source| SpendFileError::Io { path, what, source }
    }
}

// === impl Spend ===

impl Spend {
    /// Whether registers can hold it; no count ever leaves their range.
    fn is_in_range(self) -> bool {
        self.units.max(self.excess) <= i64::MAX.unsigned_abs()
    }
}

/// Offset and length in bytes of slots.
fn extent(first: u32, slots: u32) -> (u64, u64) {
    let slot_bytes = SLOT_BYTES as u64;
    (HEADER_BYTES as u64 + u64::from(first) * slot_bytes, u64::from(slots) * slot_bytes)
}

#[cfg(test)]
mod tests;
