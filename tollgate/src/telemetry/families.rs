//! The metrics of a process: one registry for what it has once, one for each gateway that it runs.
//!
//! Gateways of one process count under the same names; each has a registry of its own, whose constant label `gateway` keeps
//! them apart. To a scrape and to the collector they are one set of families.

use std::collections::BTreeMap;
use std::collections::HashMap;

use prometheus::Registry;
use prometheus::proto::MetricFamily;

/// Registries that are read together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families(Vec<Registry>);

// === impl Families ===

impl Families {
    /// Families of one registry.
    pub(crate) fn new(registry: Registry) -> Self {
        Self(vec![registry])
    }

    /// Adds a registry whose metrics all have the label `gateway`.
    ///
    /// # Errors
    /// Where `gateway` is no value of a label.
    pub(crate) fn add_gateway(&mut self, gateway: &str) -> prometheus::Result<Registry> {
        let labels = HashMap::from([("gateway".to_owned(), gateway.to_owned())]);
        let registry = Registry::new_custom(None, Some(labels))?;
        self.0.push(registry.clone());
        Ok(registry)
    }

    /// Every family once, by name.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
        for mut family in self.0.iter().flat_map(Registry::gather) {
            match families.get_mut(family.name()) {
                Some(known) => known.mut_metric().append(family.mut_metric()),
                None => {
                    families.insert(family.name().to_owned(), family);
                }
            }
        }
        families.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounter, TextEncoder};

    use super::*;

    #[test]
    fn gateways_that_count_under_one_name_are_one_family() {
        let mut families = Families::new(Registry::new());
        for (name, count) in [("gateway-1", 1), ("gateway-2", 2)] {
            let registry = families.add_gateway(name).unwrap();
            let calls = IntCounter::new("calls_total", "Calls.").unwrap();
            registry.register(Box::new(calls.clone())).unwrap();
            calls.inc_by(count);
        }
        let text = TextEncoder::new().encode_to_string(&families.gather()).unwrap();
        assert_eq!(text.matches("# TYPE").count(), 1, "{text}");
        assert!(text.contains("calls_total{gateway=\"gateway-1\"} 1"), "{text}");
        assert!(text.contains("calls_total{gateway=\"gateway-2\"} 2"), "{text}");
    }
}
