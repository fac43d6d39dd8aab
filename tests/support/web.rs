//! A web site in a directory of its own, with a certificate that goes back to a CA of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName};
use sha1::{Digest, Sha1};
use squall::profile::{HttpEndpoint, HttpVersion, Tls};
use tempfile::TempDir;

use super::seeded::Seeded;

/// The name that the site's certificate is for.
pub(crate) const HOST: &str = "fleet.test";
/// Pieces of the site's torrent; all have the same hash, so that the file can be compressed.
pub(crate) const PIECES: u32 = 500;

/// `www/` with `p/a release`, `a.css`, `status` and `release.torrent`; `cert.pem` and `key.pem`.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    pub(crate) info_hash: [u8; 20],
    /// Bytes of the `.torrent`.
    pub(crate) torrent: u64,
    root: CertificateDer<'static>,
}

/// A CA of nobody's.
fn authority() -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().der().clone();
    (root, Issuer::new(params, key))
}

impl Site {
    pub(crate) fn new() -> Self {
        // Daemons that give up root must be able to read it.
        let directory = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let (root, issuer) = authority();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &issuer).unwrap();
        let info = format!(
            "d6:lengthi{}e4:name1:a12:piece lengthi16384e6:pieces{}:{}e",
            PIECES * 16_384,
            PIECES * 20,
            "h".repeat(PIECES as usize * 20)
        );
        let torrent = format!("d4:info{info}e");
        let www = directory.path().join("www");
        std::fs::create_dir_all(www.join("p")).unwrap();
        let files = [
            ("cert.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
            ("www/p/a release", "a page ".repeat(2_000)),
            ("www/a.css", "body { margin: 0 }\n".repeat(500)),
            ("www/status", "up".to_owned()),
            ("www/release.torrent", torrent.clone()),
        ];
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let info_hash = Sha1::digest(info.as_bytes()).into();
        Self { directory, info_hash, torrent: torrent.len() as u64, root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts the files of a torrent under `www/pub/`, and its `.torrent`, which names them at this server.
    pub(crate) fn seed(&self, seeded: &Seeded, server: &HttpEndpoint) {
        let folder = self.path("www/pub");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("release.bin"), &seeded.content).unwrap();
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/pub/", server.host);
        std::fs::write(self.path("www/seeded.torrent"), seeded.torrent(&[&url])).unwrap();
    }

    /// The site at this port of 127.0.0.1, over TLS.
    pub(crate) fn secure(&self, port: u16, versions: &[HttpVersion]) -> HttpEndpoint {
        let roots = vec![self.root.clone()];
        let server_name = ServerName::try_from(HOST).unwrap();
        let tls = Some(Tls { server_name, roots });
        HttpEndpoint { tls, versions: versions.to_vec(), ..plain(port) }
    }

    /// As [`Site::secure`], but the visitors trust another CA.
    pub(crate) fn distrusted(&self, port: u16, versions: &[HttpVersion]) -> HttpEndpoint {
        let mut endpoint = self.secure(port, versions);
        endpoint.tls.as_mut().unwrap().roots = vec![authority().0];
        endpoint
    }
}

/// A server of plain HTTP/1.1 at this port of 127.0.0.1.
pub(crate) fn plain(port: u16) -> HttpEndpoint {
    HttpEndpoint::plain(([127, 0, 0, 1], port).into(), format!("{HOST}:{port}"))
}

/// The lines of a log once there are as many as this: daemons write them after they have answered.
pub(crate) fn log_lines(path: &Path, count: usize) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count && text.ends_with('\n') {
            return lines;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{} of {count} lines: {text}", lines.len());
        std::thread::yield_now();
    }
}
