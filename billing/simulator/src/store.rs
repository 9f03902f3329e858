//! The objects of a space, each kind on a shelf of its own in the order of creation.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::object::text;

/// Most objects of one kind; a simulator is for tests, and this is far beyond any.
const OBJECTS_MAX: usize = 2_000_000;

/// All objects of one account in one mode.
#[derive(Debug, Default)]
pub(crate) struct Store {
    shelves: BTreeMap<String, Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    order: Vec<String>,
    objects: HashMap<String, Value>,
}

// === impl Store ===

impl Store {
    pub(crate) fn get(&self, kind: &str, id: &str) -> Option<&Value> {
        self.shelves.get(kind)?.objects.get(id)
    }

    /// Puts an object on the shelf that its `object` names, in place of the one of the same id.
    pub(crate) fn put(&mut self, object: Value) {
        let shelf = self.shelves.entry(text(&object, "object").to_owned()).or_default();
        let id = text(&object, "id").to_owned();
        if shelf.objects.insert(id.clone(), object).is_none() {
            assert!(
                shelf.order.len() < OBJECTS_MAX,
                "the simulator keeps {OBJECTS_MAX} objects of a kind"
            );
            shelf.order.push(id);
        }
    }

    /// Takes an object away for good.
    pub(crate) fn remove(&mut self, kind: &str, id: &str) {
        if let Some(shelf) = self.shelves.get_mut(kind) {
            shelf.objects.remove(id);
            shelf.order.retain(|other| other != id);
        }
    }

    /// All objects of a kind, the newest first.
    pub(crate) fn newest_first(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let shelf = self.shelves.get(kind);
        shelf
            .into_iter()
            .flat_map(|shelf| shelf.order.iter().rev().filter_map(|id| shelf.objects.get(id)))
    }

    /// An object of any kind.
    pub(crate) fn find(&self, id: &str) -> Option<&Value> {
        self.shelves.values().find_map(|shelf| shelf.objects.get(id))
    }
}
