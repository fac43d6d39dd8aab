//! What a test against somebody else's software showed, for the conformity matrix of `harness/README.md`.

use std::path::PathBuf;

/// Notes that `implementation` and Squall understand each other in `feature`. To be called last, when all of it held. Only where daemons
/// are demanded: elsewhere a test may have been skipped.
pub(crate) fn shown(feature: &str, implementation: &str) {
    if std::env::var_os("SQUALL_REQUIRE_DAEMONS").is_none() {
        return;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let folder = target.join("conformity");
    std::fs::create_dir_all(&folder).unwrap();
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let file = folder.join(format!("{}--{}", plain(feature), plain(implementation)));
    std::fs::write(file, format!("{feature}\t{implementation}\n")).unwrap();
}
