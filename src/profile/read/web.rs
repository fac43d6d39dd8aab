//! Reading what concerns HTTP.

use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use super::super::values::{Address, CertificateName, Header};
use super::super::{Gateway, HttpEndpoint, HttpVersion, Index, Tls, WebEndpoint};
use crate::problem::{Name, Names, OneOf, Reported, SourceFile, Table, Text, UrlPath};
use crate::unit::Share;

/// The versions that a client's visitors speak: the shares of HTTP/2 and of HTTP/3.
pub(super) fn speaks(table: &mut Table<'_>) -> Result<(f64, f64), Reported> {
    let two = table.or("http2", "Share of its visitors that speak HTTP/2; all speak HTTP/1.1.", Share(0.0));
    let three = table.or(
        "http3",
        "Share of its visitors that speak HTTP/3 too, and use it wherever the target offers it.",
        Share(0.0),
    );
    let (Share(two), Share(three)) = (two?, three?);
    if three > two {
        let hint = Some(format!("who speaks HTTP/3 speaks HTTP/2, and `http2` is {}", Share(two)));
        return Err(table.wrong("http3", "`http3` must be at most `http2`".to_owned(), hint));
    }
    Ok((two, three))
}

/// The servers beside the funnel.
pub(super) fn servers(table: &mut Table<'_>, beside: &Path) -> Result<Vec<WebEndpoint>, Reported> {
    let mut names = Names::default();
    table.tables("web", "A web server beside the funnel, for side traffic that names it.", |table| {
        let name = table.required::<Name>("name", "What the scenario's side traffic calls it by.");
        let server = endpoint(table, beside);
        let name = name?.0.0;
        names.claim(table, "name", &name)?;
        Ok(WebEndpoint { name, server: server? })
    })
}

pub(super) fn endpoint(table: &mut Table<'_>, beside: &Path) -> Result<HttpEndpoint, Reported> {
    let address = table.required::<Address>("address", "Where it listens.");
    let host = table.optional::<Header>("host", "`Host` header; the address where it is left out.");
    let written = table.list::<OneOf<HttpVersion>>(
        "http",
        "Versions of HTTP that it offers; left out, \"1.1\" and with TLS \"2\" too.",
    );
    let tls = proof(table, beside, "How it proves who it is; left out, it speaks plain HTTP.");
    let address = address?.0;
    let host = host?.map_or_else(|| address.to_string(), |host| host.0.0);
    let tls = proven(table, tls?, &host)?;
    let mut versions: Vec<_> = written?.into_iter().map(|version| version.into_inner().0).collect();
    versions.sort_unstable();
    versions.dedup();
    match (versions.as_slice(), &tls) {
        ([], None) => versions = vec![HttpVersion::One],
        ([], Some(_)) => versions = vec![HttpVersion::One, HttpVersion::Two],
        ([.., HttpVersion::Three], None) => {
            let hint = Some("add `tls`: there is no plain HTTP/3".to_owned());
            return Err(table.wrong("http", "HTTP/3 needs TLS".to_owned(), hint));
        }
        ([HttpVersion::One, _, ..], None) => {
            let hint = "clients do not try HTTP/2 without TLS where there is HTTP/1.1; offer one of them";
            return Err(table.wrong("http", "two plain versions".to_owned(), Some(hint.to_owned())));
        }
        _ => {}
    }
    Ok(HttpEndpoint { address, host, tls, versions })
}

/// The table `gateway` of a target.
pub(super) fn gateway(table: &mut Table<'_>, beside: &Path) -> Result<Gateway, Reported> {
    let server = endpoint(table, beside);
    let path = table.or(
        "path",
        "Path of a DAG; `{cid}` stands for its root.",
        UrlPath(Text("/ipfs/{cid}".to_owned())),
    );
    Ok(Gateway { server: server?, path: path?.0.0 })
}

/// The name in a `Host` header, without its port.
fn name_of(table: &Table<'_>, host: &str) -> Result<ServerName<'static>, Reported> {
    let port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, rest)| port(rest)).map_or(host, |(name, _)| name);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        let hint = Some("add `server_name` to `tls`".to_owned());
        table.wrong("host", format!("no certificate can be for \"{bare}\""), hint)
    })
}

/// What a certificate is for, where that is said, and what it goes back to.
pub(super) type Proof = (Option<ServerName<'static>>, Vec<CertificateDer<'static>>);

/// The table `tls` of a server.
pub(super) fn proof(
    table: &mut Table<'_>,
    beside: &Path,
    doc: &'static str,
) -> Result<Option<Proof>, Reported> {
    table.optional_table("tls", doc, |table| tls(table, beside))
}

/// How a server proves who it is, by the name in its host where no other is said.
pub(super) fn proven(table: &Table<'_>, proof: Option<Proof>, host: &str) -> Result<Option<Tls>, Reported> {
    Ok(match proof {
        Some((Some(server_name), roots)) => Some(Tls { server_name, roots }),
        Some((None, roots)) => Some(Tls { server_name: name_of(table, host)?, roots }),
        None => None,
    })
}

fn tls(table: &mut Table<'_>, beside: &Path) -> Result<Proof, Reported> {
    let ca = table.required::<Text>(
        "ca",
        "PEM file with the certificates that the server's must go back to, beside the profile.",
    );
    let name = table.optional::<CertificateName>(
        "server_name",
        "What the server's certificate is for; the name in `host` where it is left out.",
    );
    let path = beside.join(ca?.0);
    let unusable = |reason: String| {
        let hint = Some("a PEM file with the fleet's own roots, or the system's bundle".to_owned());
        table.wrong("ca", format!("{}: {reason}", path.display()), hint)
    };
    let file = SourceFile::open(&path).map_err(|error| unusable(error.to_string()))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.text.as_bytes()).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok((name?.map(|name| name.0), roots)),
        Ok(_) => Err(unusable("no certificate in it".to_owned())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

pub(super) fn index(table: &mut Table<'_>, beside: &Path) -> Result<Index, Reported> {
    let server = endpoint(table, beside);
    let page = table.or(
        "page",
        "Landing page; `{name}` stands for the content's name.",
        UrlPath(Text("/".to_owned())),
    );
    let assets = table.list::<UrlPath>("assets", "Files that belong to the page, fetched in turn.");
    Ok(Index {
        server: server?,
        page: page?.0.0,
        assets: assets?.into_iter().map(|path| path.into_inner().0.0).collect(),
    })
}
