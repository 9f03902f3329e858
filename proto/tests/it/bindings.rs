//! The committed bindings are what the .proto files say.
//!
//! Where they are not, the test writes them anew and fails: look at the difference, commit it.

use std::path::{Path, PathBuf};

use protox::prost::Message;

const FILES: [&str; 5] = [
    "tollgate/v1/types.proto",
    "tollgate/v1/sync.proto",
    "tollgate/v1/resolve.proto",
    "tollgate/v1/balances.proto",
    "tollgate/v1/own.proto",
];

#[test]
fn committed_bindings_are_what_the_proto_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gen");
    std::fs::create_dir_all(&out).unwrap();

    let mut compiler = protox::Compiler::new([root]).unwrap();
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(FILES.map(|file| root.join(file))).unwrap();
    let mut set = compiler.file_descriptor_set();
    tonic_prost_build::configure()
        .out_dir(&out)
        .emit_rerun_if_changed(false)
        .compile_fds(set.clone())
        .unwrap();
    // Comments and places are for the generated docs; reflection has no use for them.
    set.file.iter_mut().for_each(|file| file.source_code_info = None);

    let generated = [
        ("tollgate.v1.rs", std::fs::read(out.join("tollgate.v1.rs")).unwrap()),
        ("tollgate.v1.bin", set.encode_to_vec()),
    ];
    let mut written = Vec::new();
    for (name, wanted) in generated {
        let committed = root.join("src/gen").join(name);
        if std::fs::read(&committed).ok().as_ref() != Some(&wanted) {
            std::fs::write(&committed, wanted).unwrap();
            written.push(name);
        }
    }
    assert!(
        written.is_empty(),
        "were not what the .proto files say, are written anew: {written:?}"
    );
}
