//! The peer wire (BEP 3) with the Fast extension (BEP 6), the extension protocol (BEP 10) and v2's hashes (BEP 52). By hand: the embedded testbed's seedbox
//! is built on the one kept codec crate, which must not check itself.

mod extension;
mod hashes;

pub(super) use extension::{
    Introduction, METADATA_BLOCK, Offer, hello, metadata_block, metadata_reject, metadata_request, pex,
};
pub(super) use hashes::{HashRequest, hash_reject, hash_request};

/// The unit of requests (BEP 3).
pub(super) const BLOCK: u32 = 16 << 10;
/// Bytes of the handshake.
pub(super) const HANDSHAKE: usize = 68;
/// Bytes of a block's message before its data.
pub(super) const BLOCK_HEAD: usize = 13;
/// The longest message that is read: the bitfield of two million pieces. A block needs 16 KiB and 9 bytes.
const MAX_MESSAGE: usize = 256 << 10;
pub(super) const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// A part of a piece, as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) piece: u32,
    pub(super) begin: u32,
    pub(super) length: u32,
}

/// A message from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    Have(u32),
    Bitfield(&'a [u8]),
    Request(Span),
    Block {
        piece: u32,
        begin: u32,
        data: &'a [u8],
    },
    Cancel(Span),
    /// BEP 6.
    HaveAll,
    /// BEP 6.
    HaveNone,
    /// BEP 6: the request will not be served.
    Reject(Span),
    /// BEP 6: the piece may be asked for in spite of a choke.
    AllowedFast(u32),
    /// An extension handshake.
    Offer(Offer),
    /// A request for a block of metadata (BEP 9).
    MetadataRequest(u32),
    /// A block of metadata.
    MetadataBlock {
        block: u32,
        data: &'a [u8],
    },
    /// A refusal to send metadata.
    MetadataReject,
    /// Hashes that a peer wants (BEP 52).
    HashRequest(HashRequest),
    /// Hashes that were asked for.
    Hashes {
        request: HashRequest,
        hashes: &'a [u8],
    },
    /// A refusal to send hashes.
    HashReject(HashRequest),
    /// Peers that somebody else knows (BEP 11).
    Peers(Vec<std::net::SocketAddr>),
    /// Anything that calls for nothing.
    Other,
}

/// The stream is not the peer wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What a handshake says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) info_hash: [u8; 20],
    pub(super) peer_id: [u8; 20],
    /// Whether the extension protocol is spoken (BEP 10).
    pub(super) extended: bool,
    /// Whether the Fast extension is spoken (BEP 6).
    pub(super) fast: bool,
    /// Whether the torrent is known by its v2 hash (BEP 52).
    pub(super) v2: bool,
}

impl Handshake {
    /// Ours: both extensions.
    pub(super) const fn ours(info_hash: [u8; 20], v2: bool, peer_id: [u8; 20]) -> Self {
        Self { info_hash, peer_id, extended: true, fast: true, v2 }
    }

    pub(super) fn encode(&self) -> [u8; HANDSHAKE] {
        let mut bytes = [0; HANDSHAKE];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[25] = if self.extended { 0x10 } else { 0 };
        bytes[27] = if self.fast { 0x04 } else { 0 } | if self.v2 { 0x10 } else { 0 };
        bytes[28..48].copy_from_slice(&self.info_hash);
        bytes[48..].copy_from_slice(&self.peer_id);
        bytes
    }

    /// # Errors
    /// The bytes are no handshake.
    pub(super) fn read(bytes: &[u8; HANDSHAKE]) -> Result<Self, Broken> {
        let (protocol, rest) = bytes.split_at(20);
        let (reserved, rest) = rest.split_at(8);
        if protocol != PROTOCOL {
            return Err(Broken);
        }
        let (info_hash, peer_id) = rest.split_first_chunk().ok_or(Broken)?;
        Ok(Self {
            info_hash: *info_hash,
            peer_id: peer_id.try_into().map_err(|_| Broken)?,
            extended: reserved.get(5).is_some_and(|byte| byte & 0x10 != 0),
            fast: reserved.get(7).is_some_and(|byte| byte & 0x04 != 0),
            v2: reserved.get(7).is_some_and(|byte| byte & 0x10 != 0),
        })
    }
}

/// Messages without a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Choke = 0,
    Unchoke = 1,
    Interested = 2,
    NotInterested = 3,
    HaveAll = 14,
    HaveNone = 15,
}

pub(super) fn plain(out: &mut Vec<u8>, message: Plain) {
    out.extend([0, 0, 0, 1, message as u8]);
}

/// Keep-alive.
pub(super) const KEEP_ALIVE: [u8; 4] = [0; 4];

/// Messages that name a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbered {
    Have = 4,
    AllowedFast = 17,
}

pub(super) fn numbered(out: &mut Vec<u8>, message: Numbered, piece: u32) {
    out.extend([0, 0, 0, 5, message as u8]);
    out.extend(piece.to_be_bytes());
}

/// Messages that name a part of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spanning {
    Request = 6,
    Cancel = 8,
    Reject = 16,
}

pub(super) fn spanning(out: &mut Vec<u8>, message: Spanning, span: Span) {
    out.extend([0, 0, 0, 13, message as u8]);
    out.extend(span.piece.to_be_bytes());
    out.extend(span.begin.to_be_bytes());
    out.extend(span.length.to_be_bytes());
}

pub(super) fn bitfield(out: &mut Vec<u8>, bits: &[u8]) {
    // Bounded by the metadata that fits in memory.
    out.extend((bits.len() as u32 + 1).to_be_bytes());
    out.push(5);
    out.extend(bits);
}

/// The head of a block; its data comes behind it.
pub(super) fn block_head(out: &mut Vec<u8>, span: Span) {
    out.extend((span.length + 9).to_be_bytes());
    out.push(7);
    out.extend(span.piece.to_be_bytes());
    out.extend(span.begin.to_be_bytes());
}

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    read: usize,
}

impl Frames {
    /// Where the next bytes of the stream are to be appended: has room for `room` of them.
    pub(super) fn space(&mut self, room: usize) -> &mut Vec<u8> {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.reserve(room);
        &mut self.buffer
    }

    /// The handshake, once it is whole.
    pub(super) fn handshake(&mut self) -> Option<&[u8; HANDSHAKE]> {
        let bytes = self.buffer.get(self.read..)?.first_chunk()?;
        self.read += HANDSHAKE;
        Some(bytes)
    }

    /// The next message that is whole.
    pub(super) fn next(&mut self) -> Result<Option<Message<'_>>, Broken> {
        let Some(unread) = self.buffer.get(self.read..) else { return Ok(None) };
        let Some((prefix, rest)) = unread.split_first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > MAX_MESSAGE {
            return Err(Broken);
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.read += 4 + length;
        parse(body).map(Some)
    }

    /// Bytes that came and are not yet a whole message.
    pub(super) fn unread(&self) -> usize {
        self.buffer.len() - self.read
    }

    /// Forgets what memory it can between messages: thousands of peers wait at a time.
    pub(super) fn rest(&mut self) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.shrink_to_fit();
    }
}

fn parse(body: &[u8]) -> Result<Message<'_>, Broken> {
    let Some((&id, payload)) = body.split_first() else { return Ok(Message::KeepAlive) };
    match id {
        0..=3 | 14 | 15 if !payload.is_empty() => Err(Broken),
        0 => Ok(Message::Choke),
        1 => Ok(Message::Unchoke),
        2 => Ok(Message::Interested),
        3 => Ok(Message::NotInterested),
        4 => Ok(Message::Have(number(payload)?)),
        5 => Ok(Message::Bitfield(payload)),
        6 => Ok(Message::Request(span(payload)?)),
        7 => {
            let (piece, rest) = payload.split_first_chunk().ok_or(Broken)?;
            let (begin, data) = rest.split_first_chunk().ok_or(Broken)?;
            Ok(Message::Block { piece: u32::from_be_bytes(*piece), begin: u32::from_be_bytes(*begin), data })
        }
        8 => Ok(Message::Cancel(span(payload)?)),
        14 => Ok(Message::HaveAll),
        15 => Ok(Message::HaveNone),
        16 => Ok(Message::Reject(span(payload)?)),
        17 => Ok(Message::AllowedFast(number(payload)?)),
        20 => extension::parse(payload),
        21..=23 => hashes::parse(id, payload).ok_or(Broken),
        // DHT ports, suggestions, and whatever we did not offer.
        _ => Ok(Message::Other),
    }
}

fn number(payload: &[u8]) -> Result<u32, Broken> {
    payload.try_into().map(u32::from_be_bytes).map_err(|_| Broken)
}

fn span(payload: &[u8]) -> Result<Span, Broken> {
    let (numbers, []) = payload.as_chunks::<4>() else { return Err(Broken) };
    let &[piece, begin, length] = numbers else { return Err(Broken) };
    let [piece, begin, length] = [piece, begin, length].map(u32::from_be_bytes);
    Ok(Span { piece, begin, length })
}

#[cfg(test)]
mod tests;
