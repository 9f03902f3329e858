//! What the three ways to run can be told by a file: plain values, read whole and checked before a port is bound.
//!
//! Not here: what a proxy or a limit is (`gateway::config`), the command line (`cli`).

pub(crate) mod billing;
pub(crate) mod file;
pub(crate) mod gateway;
pub(crate) mod node;
pub(crate) mod secret;
pub(crate) mod sections;
pub(crate) mod standalone;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::file::{Checked, load};
    use super::{gateway, node, standalone};

    fn parses<T: serde::de::DeserializeOwned + Checked>(name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
        if let Err(error) = load::<T>(&folder.join(name)) {
            panic!("{error}");
        }
    }

    #[test]
    fn the_shipped_samples_are_sound() {
        parses::<standalone::StandaloneFile>("standalone.toml");
        parses::<gateway::GatewayFile>("gateway.toml");
        parses::<node::NodeFile>("balance-sync.toml");
    }

    #[test]
    fn every_shipped_sample_is_tested() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
        let files = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["balance-sync.toml", "gateway.toml", "standalone.toml"]);
    }
}
