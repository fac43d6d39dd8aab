//! What returning visitors have from earlier visits: of each page, what tells its version.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use hyper::header::{
    CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};

/// Pages that a worker remembers.
const MAX_PAGES: usize = 4_096;

/// The validators (RFC 9110 section 8.8) of the pages that a worker's visitors saw. It is one memory for all of them: which visitor it is
/// that comes back, the server cannot tell from a condition.
#[derive(Debug, Default)]
pub(super) struct Memory(RefCell<HashMap<(SocketAddr, String), Validators>>);

#[derive(Debug)]
struct Validators {
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

impl Memory {
    /// Makes a request conditional where the page was seen before; whether it was.
    pub(super) fn ask_for_changes(&self, (server, path): (SocketAddr, &str), fields: &mut HeaderMap) -> bool {
        let pages = self.0.borrow();
        let Some(seen) = pages.get(&(server, path.to_owned())) else { return false };
        if let Some(etag) = &seen.etag {
            fields.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(modified) = &seen.modified {
            fields.insert(IF_MODIFIED_SINCE, modified.clone());
        }
        true
    }

    /// Remembers a page that was loaded, unless its server does not want that.
    pub(super) fn note(&self, (server, path): (SocketAddr, &str), fields: &HeaderMap) {
        let forbidden = fields.get_all(CACHE_CONTROL).iter().any(|line| {
            let line = line.as_bytes().to_ascii_lowercase();
            line.split(|byte| *byte == b',').any(|word| word.trim_ascii() == b"no-store")
        });
        let seen =
            Validators { etag: fields.get(ETAG).cloned(), modified: fields.get(LAST_MODIFIED).cloned() };
        if forbidden || (seen.etag.is_none() && seen.modified.is_none()) {
            return;
        }
        let mut pages = self.0.borrow_mut();
        let page = (server, path.to_owned());
        if pages.len() < MAX_PAGES || pages.contains_key(&page) {
            pages.insert(page, seen);
        }
    }
}
