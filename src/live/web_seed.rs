//! Web seeds (BEP 19): which bytes of which file on a web server a part of a torrent is. Pure: no socket, no clock.

use percent_encoding::percent_encode;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use url::{Position, Url};

use super::bencode;
use super::http::SEGMENT;
use super::metainfo::Layout;

/// Web seeds of one torrent that are still read: real ones have a few mirrors.
const MAX_URLS: usize = 64;

/// The URLs in the `url-list` of a `.torrent`, which is one string or a list of them. What is no HTTP URL (BEP 19 has FTP too) is nothing
/// that visitors could use.
pub(super) fn url_list(torrent: &[u8]) -> Vec<Url> {
    let Some(value) = bencode::field(torrent, b"url-list") else { return Vec::new() };
    let texts = match bencode::string(value) {
        Some(one) => vec![ByteBuf::from(one)],
        None => bencode::decode(value).unwrap_or_default(),
    };
    let urls = texts.iter().filter_map(|text| Url::parse(std::str::from_utf8(text).ok()?).ok());
    urls.filter(|url| matches!(url.scheme(), "http" | "https")).take(MAX_URLS).collect()
}

/// The files of a torrent, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// Name of the file, or of the folder around the files, percent-encoded as all paths here.
    name: String,
    /// Whether there is one file and no folder.
    single: bool,
    files: Vec<File>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    /// Below the folder; `None` for zeros that stand between files (BEP 47), which no server has.
    path: Option<String>,
    /// Where it begins among the pieces.
    begin: u64,
    length: u64,
}

/// What a part of a torrent is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes `begin..end` of the file of this number, which has `of`.
    Bytes { file: usize, begin: u64, end: u64, of: u64 },
    /// So many zeros.
    Zeros(u64),
}

#[derive(Deserialize)]
struct Info {
    name: ByteBuf,
    length: Option<u64>,
    files: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    length: u64,
    path: Vec<ByteBuf>,
    #[serde(default)]
    attr: ByteBuf,
}

#[derive(Deserialize)]
struct Leaf {
    length: u64,
}

impl Files {
    /// The files of a layout; `None` where a name in it cannot be a part of a path.
    pub(super) fn of(layout: &Layout) -> Option<Self> {
        let info: Info = bencode::decode(layout.info())?;
        let mut files = Self { name: segment(&info.name)?, single: false, files: Vec::new() };
        if layout.has_tree() {
            let tree = bencode::field(layout.info(), b"file tree")?;
            files.add_tree(tree, "", u64::from(layout.piece_length()))?;
            // A folder cannot have a file of its own name as its only one: BEP 52 takes that for a single file.
            files.single = matches!(&files.files[..], [only] if only.path.as_ref() == Some(&files.name));
            return Some(files);
        }
        let Some(list) = info.files else {
            let length = info.length?;
            files.single = true;
            files.files.push(File { path: Some(files.name.clone()), begin: 0, length });
            return Some(files);
        };
        let mut begin = 0_u64;
        for Listed { length, path, attr } in list {
            let path = match attr.contains(&b'p') {
                true => None,
                false => Some(path.iter().map(|part| segment(part)).collect::<Option<Vec<_>>>()?.join("/")),
            };
            files.add(File { path, begin, length });
            begin = begin.checked_add(length)?;
        }
        Some(files)
    }

    /// Every file of a tree begins with a piece.
    fn add_tree(&mut self, directory: &[u8], above: &str, piece_length: u64) -> Option<()> {
        for (name, value) in bencode::entries(directory)? {
            if name.is_empty() {
                let Leaf { length } = bencode::decode(value)?;
                let end = self.files.last().map_or(0, |last| last.begin + last.length);
                let begin = end.checked_next_multiple_of(piece_length)?;
                self.add(File { path: Some(above.to_owned()), begin, length });
                continue;
            }
            let name = segment(name)?;
            let path = if above.is_empty() { name } else { format!("{above}/{name}") };
            self.add_tree(value, &path, piece_length)?;
        }
        Some(())
    }

    fn add(&mut self, file: File) {
        // Nothing is ever asked of an empty file.
        if file.length > 0 {
            self.files.push(file);
        }
    }

    /// What the bytes `begin..end` of the pieces are made of, in order. What belongs to no file is zeros.
    pub(super) fn parts(&self, begin: u64, end: u64) -> Vec<Part> {
        let mut parts = Vec::new();
        if begin >= end {
            return parts;
        }
        let mut at = begin;
        let first = self.files.partition_point(|file| file.begin + file.length <= begin);
        for (number, file) in self.files.iter().enumerate().skip(first).take_while(|(_, it)| it.begin < end) {
            if file.path.is_none() {
                continue;
            }
            if at < file.begin {
                parts.push(Part::Zeros(file.begin - at));
            }
            let from = at.max(file.begin);
            at = end.min(file.begin + file.length);
            parts.push(Part::Bytes {
                file: number,
                begin: from - file.begin,
                end: at - file.begin,
                of: file.length,
            });
        }
        if at < end {
            parts.push(Part::Zeros(end - at));
        }
        parts
    }

    /// The path, and query, of a file on the server that `url` leads to. Where the URL ends with a slash, or there is a folder, the
    /// torrent's name is added, and then the path of the file in it (BEP 19).
    pub(super) fn path(&self, url: &Url, file: usize) -> Option<String> {
        let mut path = url[Position::BeforePath..Position::AfterQuery].to_owned();
        if self.single {
            if path.ends_with('/') {
                path += &self.name;
            }
            return Some(path);
        }
        if !path.ends_with('/') {
            path.push('/');
        }
        let below = self.files.get(file)?.path.as_ref()?;
        Some(format!("{path}{}/{below}", self.name))
    }
}

/// A name as a part of a path; `None` for those that would lead elsewhere.
fn segment(name: &[u8]) -> Option<String> {
    let leads_elsewhere = matches!(name, b"" | b"." | b"..");
    (!leads_elsewhere).then(|| percent_encode(name, SEGMENT).to_string())
}

#[cfg(test)]
mod tests;
