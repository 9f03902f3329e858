//! A mapped run of slots, accessed as atomic words.
//!
//! The only unsafe code of the crate. All access is through `AtomicU64`, so threads of this process race safely; another
//! process does not write while this one holds the file's lock.
#![expect(unsafe_code, reason = "words of a memory-mapped file are read and written in place")]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::layout::{KEY_WORDS, Key, SLOT_BYTES};

const SLOT_WORDS: usize = SLOT_BYTES / 8;

/// Slots that stand side by side in memory.
#[derive(Debug)]
pub(super) struct Chunk {
    map: MmapRaw,
    slots: u32,
}

/// The counters of a slot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    Units = 1,
    Excess = 2,
    AcknowledgedUnits = 3,
    AcknowledgedExcess = 4,
}

// === impl Chunk ===

impl Chunk {
    /// Maps `slots` slots at an offset of whole pages; the file must be that long.
    pub(super) fn map(file: &File, start: u64, slots: u32) -> io::Result<Self> {
        let length = slots as usize * SLOT_BYTES;
        let map = MmapOptions::new().offset(start).len(length).populate().map_raw(file)?;
        Ok(Self { map, slots })
    }

    /// Writes a slot's key; its checksum last, so that a reader after a crash sees either none or all of it.
    pub(super) fn write_key(&self, slot: u32, key: &Key) {
        for (place, word) in key.0.into_iter().enumerate() {
            self.word(slot, place).store(word, Ordering::Relaxed);
        }
        self.word(slot, KEY_WORDS).store(key.checksum(), Ordering::Release);
    }

    /// A slot's key, where its checksum confirms it.
    pub(super) fn read_key(&self, slot: u32) -> Option<Key> {
        let checksum = self.word(slot, KEY_WORDS).load(Ordering::Acquire);
        let key = Key(std::array::from_fn(|place| self.word(slot, place).load(Ordering::Relaxed)));
        (key.checksum() == checksum).then_some(key)
    }

    pub(super) fn get(&self, slot: u32, cell: Cell) -> u64 {
        self.counter(slot, cell).load(Ordering::Acquire)
    }

    pub(super) fn set(&self, slot: u32, cell: Cell, value: u64) {
        self.counter(slot, cell).store(value, Ordering::Release);
    }

    pub(super) fn raise(&self, slot: u32, cell: Cell, value: u64) {
        self.counter(slot, cell).fetch_max(value, Ordering::AcqRel);
    }

    /// Adds up to the end of a register's range.
    pub(super) fn add(&self, slot: u32, cell: Cell, more: u64) {
        let max = i64::MAX.unsigned_abs();
        self.counter(slot, cell)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                Some(now.saturating_add(more).min(max))
            })
            .ok();
    }

    /// Writes the pages to the disk and waits.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.map.flush()
    }

    fn counter(&self, slot: u32, cell: Cell) -> &AtomicU64 {
        self.word(slot, KEY_WORDS + cell as usize)
    }

    fn word(&self, slot: u32, place: usize) -> &AtomicU64 {
        assert!(slot < self.slots && place < SLOT_WORDS, "a slot lies within its chunk");
        let offset = slot as usize * SLOT_WORDS + place;
        // SAFETY: the map is `slots * SLOT_BYTES` long and the assertion above keeps the word inside it. Maps begin at a page,
        // so words are aligned to 8 bytes. The map lives as long as `self`, and every access to it is through an atomic.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(offset)) }
    }
}
