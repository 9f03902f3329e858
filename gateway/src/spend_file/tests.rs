//! A spend file gives back what was counted: after an end, a crash, damage and a full disk.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use tollgate_metering::{BillingType, Period, PlanId, ProductId, WalletId};
use uuid::Uuid;

use super::*;

/// Set for a process that counts until it is killed; the folder it counts in.
const CHILD: &str = "TOLLGATE_TEST_SPEND_FOLDER";

fn meter(number: u128) -> Meter {
    Meter {
        wallet: WalletId(Uuid::from_u128(number)),
        product: ProductId(Uuid::from_u128(2)),
        plan: PlanId(Uuid::from_u128(3)),
        billing: BillingType::Postpaid,
        period: Period::of(UnixMillis(1_795_305_600_000)),
        revision: 4,
    }
}

fn incarnation(number: u128) -> Incarnation {
    Incarnation { born: UnixMillis(1_795_305_600_000), id: Uuid::from_u128(number) }
}

fn folder(path: &Path) -> SpendFolder {
    SpendFolder::open(path, "gateway-1").unwrap()
}

/// A folder with one file of two meters that no process uses.
fn left_behind() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = folder(dir.path()).create(incarnation(1), 7).unwrap();
    for (number, units) in [(1, 500), (2, 900)] {
        let slot = file.allocate(&meter(number)).unwrap();
        file.store(slot, units);
    }
    file.acknowledge(0, Spend { units: 500, excess: 0 });
    (dir, file.path().to_owned())
}

#[test]
fn what_was_counted_is_found_again() {
    let (dir, _) = left_behind();
    let found = folder(dir.path()).found().unwrap();
    let [file] = found.files.as_slice() else { panic!("one file was left") };
    assert_eq!((file.incarnation(), file.generation()), (incarnation(1), 7));
    assert_eq!(file.meters().collect::<Vec<_>>(), [(0, meter(1)), (1, meter(2))]);
    assert_eq!(file.spend(1), Spend { units: 900, excess: 0 });
    assert!(file.is_acknowledged(0) && !file.is_acknowledged(1) && !file.is_settled());
    assert_eq!(file.damages(), []);
    file.acknowledge(1, Spend { units: 900, excess: 0 });
    assert!(file.is_settled());
    file.restart(8).unwrap();
    assert!(!file.is_settled(), "a restored ledger has nothing of it");
}

#[test]
fn a_file_in_use_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let used = folder(dir.path()).create(incarnation(1), 1).unwrap();
    assert!(folder(dir.path()).found().unwrap().files.is_empty());
    drop(used);
    assert_eq!(folder(dir.path()).found().unwrap().files.len(), 1);
}

#[test]
fn excess_and_acknowledgement_only_grow() {
    let dir = tempfile::tempdir().unwrap();
    let file = folder(dir.path()).create(incarnation(1), 1).unwrap();
    let slot = file.allocate(&meter(1)).unwrap();
    file.add_excess(slot, Units::ONE);
    file.add_excess(slot, Units::MAX);
    assert_eq!(file.spend(slot).excess, i64::MAX as u64);
    file.acknowledge(slot, Spend { units: 9, excess: 3 });
    file.acknowledge(slot, Spend { units: 5, excess: 4 });
    assert_eq!(file.acknowledged(slot), Spend { units: 9, excess: 4 });
}

#[test]
fn the_file_grows_by_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let file = folder(dir.path()).create(incarnation(1), 1).unwrap();
    for number in 0..=CHUNK_SLOTS {
        let slot = file.allocate(&meter(number.into())).unwrap();
        file.store(slot, u64::from(number) + 1);
    }
    file.grow_ahead().unwrap();
    file.sync().unwrap();
    drop(file);
    let found = folder(dir.path()).found().unwrap();
    assert_eq!(found.files[0].spend(CHUNK_SLOTS).units, u64::from(CHUNK_SLOTS) + 1);
    assert_eq!(found.files[0].meters().count(), CHUNK_SLOTS as usize + 1);
}

#[test]
fn a_damaged_file_gives_what_can_be_read_and_stays() {
    let (dir, path) = left_behind();
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER_BYTES] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let folder = folder(dir.path());
    let found = folder.found().unwrap();
    let file = &found.files[0];
    assert_eq!(file.damages(), [Damage::Slot { slot: 0, units: 500 }]);
    assert_eq!(file.meters().collect::<Vec<_>>(), [(1, meter(2))]);
    folder.remove(file).unwrap();
    assert!(path.exists());
}

/// A slot whose key was whole and whose count was not was named as damaged and reported all the same: no register holds such a
/// count, and the exchange with balance-sync died of it at every start.
#[test]
fn a_count_that_no_register_holds_is_damage_and_not_reported() {
    let (dir, path) = left_behind();
    let mut bytes = fs::read(&path).unwrap();
    let units_at = HEADER_BYTES + (layout::KEY_WORDS + Cell::Units as usize) * 8;
    bytes[units_at..units_at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let found = folder(dir.path()).found().unwrap();
    let file = &found.files[0];
    assert_eq!(file.damages(), [Damage::Slot { slot: 0, units: u64::MAX }]);
    assert_eq!(file.meters().collect::<Vec<_>>(), [(1, meter(2))]);
}

#[test]
fn a_file_cut_off_gives_the_slots_before_the_end() {
    let (dir, path) = left_behind();
    let length = (HEADER_BYTES + SLOT_BYTES + 40) as u64;
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
    let found = folder(dir.path()).found().unwrap();
    assert_eq!(found.files[0].damages(), [Damage::CutOff { slots: 1 }]);
    assert_eq!(found.files[0].spend(0).units, 500);
}

#[test]
fn what_is_no_spend_file_of_ours_is_named_and_left_alone() {
    let check = |edit: &dyn Fn(&mut Vec<u8>), want: &str| {
        let (dir, path) = left_behind();
        let mut bytes = fs::read(&path).unwrap();
        edit(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let found = folder(dir.path()).found().unwrap();
        assert!(found.files.is_empty());
        let line = found.unreadable[0].to_string();
        assert!(line.contains(want) && line.contains(path.to_str().unwrap()), "{line}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    };
    check(&|bytes| bytes[0] = b'X', "not a spend file");
    check(&|bytes| bytes.truncate(100), "not a spend file");
    check(&|bytes| bytes.clear(), "not a spend file");
    check(&|bytes| bytes[8] = 2, "has version 2");
    check(&|bytes| bytes[40] ^= 1, "header is damaged");
}

#[test]
fn a_file_that_was_being_made_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("x.new");
    fs::write(&new, b"").unwrap();
    assert!(folder(dir.path()).found().unwrap().files.is_empty());
    assert!(!new.exists());
}

#[test]
fn a_disk_that_is_full_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    // A device that is always full stands in for the file that should grow.
    let full = fs::OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    let header = Header {
        incarnation: incarnation(1),
        generation: 1,
        gateway: String::new(),
        settled_at: None,
    };
    let made = SpendFile::begin(dir.path().join("full"), full, header);
    assert!(matches!(made, Err(SpendFileError::Io { .. })), "{made:?}");
}

/// The body of the child process of [`kill_9_loses_nothing_that_was_answered`]; without its
/// variable there is no folder to count in and nothing to show.
#[test]
fn child_counts_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let file = folder(Path::new(&path)).create(incarnation(1), 1).unwrap();
    let slots = [1, 2, 3].map(|number| file.allocate(&meter(number)).unwrap());
    let mut out = std::io::stdout().lock();
    for total in 1.. {
        for slot in slots {
            file.store(slot, total);
            writeln!(out, "answered {slot} {total}").unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
fn kill_9_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spend_file::tests::child_counts_until_it_is_killed", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answered = [0; 3];
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = |line: &str| {
        let mut words = line.split(' ').skip_while(|word| *word != "answered").skip(1);
        if let (Some(slot), Some(total)) = (words.next(), words.next())
            && let (Ok(slot), Ok(total)) = (slot.parse::<usize>(), total.parse::<u64>())
        {
            answered[slot] = total;
        }
    };
    lines.by_ref().take(5_000).for_each(|line| read(&line.unwrap()));
    child.kill().unwrap();
    // What was in the pipe was answered as well; the last line may be torn.
    lines.by_ref().for_each(|line| read(&line.unwrap()));
    child.wait().unwrap();
    let found = folder(dir.path()).found().unwrap();
    for (slot, answered) in (0..).zip(answered) {
        let counted = found.files[0].spend(slot).units;
        assert!(answered > 1_000 && answered <= counted, "{answered} answered, {counted} counted");
    }
}
