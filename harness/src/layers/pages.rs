//! The text of the index: plausible in size and shape, made up in content.

use std::fmt::Write;
use std::net::SocketAddrV4;

use super::web::IndexItem;
use crate::torrent::tracker_url;

/// A file that pages refer to.
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// What is repeated up to the size.
    line: &'static str,
    /// Least size in bytes.
    size: usize,
}

/// Sizes of a small site without images: a style sheet, a script, a logo.
pub(super) const ASSETS: [Asset; 3] = [
    Asset {
        name: "site.css",
        kind: "text/css",
        line: ".card > .name { margin: 0 0 .5rem; font-weight: 600; }\n",
        size: 6 << 10,
    },
    Asset {
        name: "app.js",
        kind: "text/javascript",
        line: "document.querySelectorAll('.card a').forEach(link => link.rel = 'nofollow');\n",
        size: 14 << 10,
    },
    Asset {
        name: "logo.svg",
        kind: "image/svg+xml",
        line: "<!-- <path d=\"M0 0h24v24H0z\" fill=\"none\"/> -->\n",
        size: 3 << 10,
    },
];

/// Items that a landing page lists beside its own.
const NEIGHBOURS: usize = 12;

/// Where the assets are to be had.
pub(crate) fn asset_paths() -> Vec<String> {
    ASSETS.iter().map(|asset| format!("/assets/{}", asset.name)).collect()
}

pub(super) fn asset(asset: &Asset) -> String {
    asset.line.repeat(asset.size.div_ceil(asset.line.len()))
}

/// The landing page of `item`: a few KB with its magnet link, its `.torrent` and its neighbours.
pub(super) fn landing(item: &IndexItem, all: &[IndexItem], tracker: SocketAddrV4) -> String {
    let mut body = format!("<h1>{}</h1>\n", item.name);
    card(&mut body, item, tracker);
    body.push_str("<h2>Others fetch</h2>\n");
    for neighbour in all.iter().filter(|other| other.name != item.name).take(NEIGHBOURS) {
        card(&mut body, neighbour, tracker);
    }
    document(&item.name, &body)
}

/// The page that answers on every path beside the funnel.
pub(super) fn side() -> String {
    document("Help and status", "<h1>Help and status</h1>\n<p>All services answer.</p>\n")
}

fn card(body: &mut String, item: &IndexItem, tracker: SocketAddrV4) {
    let IndexItem { name, info_hash, size } = item;
    let tracker = tracker_url(tracker);
    // Writing to a String cannot fail.
    let _ = write!(
        body,
        "<section class=\"card\">\n<p class=\"name\"><a href=\"/content/{name}\">{name}</a> ({size} bytes)</p>\n\
         <p><a href=\"magnet:?xt=urn:btih:{info_hash}&amp;dn={name}&amp;tr={tracker}\">magnet</a>\n\
         <a href=\"/torrents/{name}.torrent\">torrent</a></p>\n</section>\n"
    );
}

fn document(title: &str, body: &str) -> String {
    let mut links = String::new();
    for Asset { name, kind, .. } in &ASSETS {
        let _ = writeln!(links, "<link rel=\"preload\" href=\"/assets/{name}\" type=\"{kind}\">");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n{links}</head>\n\
         <body>\n<main>\n{body}</main>\n<footer><a href=\"/support\">Support</a> <a href=\"/status\">Status</a></footer>\n</body>\n</html>\n"
    )
}
