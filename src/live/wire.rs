//! The peer wire (BEP 3) with the extension protocol (BEP 10), metadata exchange (BEP 9) and v2's hashes (BEP 52). By hand: the embedded testbed's seedbox
//! is built on the one kept codec crate, which must not check itself.

use serde::Deserialize;

use super::bencode;
use super::merkle::Hash;

/// The unit of requests (BEP 3).
pub(super) const BLOCK: u32 = 16 << 10;
/// Bytes of the handshake.
pub(super) const HANDSHAKE: usize = 68;
/// The longest message that is read: the bitfield of two million pieces. A block needs 16 KiB and 9 bytes.
const MAX_MESSAGE: usize = 256 << 10;
/// Our extension id for `ut_metadata`: what peers must put on metadata messages to us.
const UT_METADATA: u8 = 1;
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// A message from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    KeepAlive,
    Choke,
    Unchoke,
    Have(u32),
    Bitfield(&'a [u8]),
    Block {
        piece: u32,
        begin: u32,
        data: &'a [u8],
    },
    /// An extension handshake: the peer's id for `ut_metadata` (0: none) and the size of its metadata.
    Extensions {
        ut_metadata: u8,
        metadata_size: Option<u64>,
    },
    /// A block of metadata.
    MetadataBlock {
        block: u32,
        data: &'a [u8],
    },
    /// A refusal to send metadata.
    MetadataReject,
    /// Hashes that were asked for.
    Hashes {
        request: HashRequest,
        hashes: &'a [u8],
    },
    /// A refusal to send hashes.
    HashReject(HashRequest),
    /// Anything that does not concern a visitor who only downloads.
    Other,
}

/// Which hashes of a file's tree (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HashRequest {
    /// The file.
    pub(super) root: Hash,
    /// The layer, from the blocks up.
    pub(super) base: u32,
    /// The first hash of it, a multiple of `length`.
    pub(super) index: u32,
    /// Hashes, a power of two.
    pub(super) length: u32,
    /// Layers above for which the hashes beside the way to the root are wanted too.
    pub(super) proof_layers: u32,
}

/// The stream is not the peer wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Our handshake: the extension protocol, v2 where the torrent has it (BEP 52), and nothing else.
pub(super) fn handshake(info_hash: &[u8; 20], v2: bool, peer_id: &[u8; 20]) -> [u8; HANDSHAKE] {
    let mut bytes = [0; HANDSHAKE];
    bytes[..20].copy_from_slice(PROTOCOL);
    bytes[25] = 0x10;
    bytes[27] = if v2 { 0x10 } else { 0 };
    bytes[28..48].copy_from_slice(info_hash);
    bytes[48..].copy_from_slice(peer_id);
    bytes
}

/// What a peer's handshake says: its info-hash, and whether it speaks the extension protocol.
pub(super) fn read_handshake(bytes: &[u8; HANDSHAKE]) -> Result<([u8; 20], bool), Broken> {
    let (protocol, rest) = bytes.split_at(20);
    let (reserved, rest) = rest.split_at(8);
    if protocol != PROTOCOL {
        return Err(Broken);
    }
    let info_hash = rest.first_chunk().ok_or(Broken)?;
    Ok((*info_hash, reserved.get(5).is_some_and(|byte| byte & 0x10 != 0)))
}

/// Our extension handshake.
pub(super) fn extension_handshake(out: &mut Vec<u8>, client: &str) {
    let payload = format!("d1:md11:ut_metadatai{UT_METADATA}ee1:v{}:{client}e", client.len());
    extended(out, 0, payload.as_bytes());
}

/// A request for one block of metadata, under the peer's extension id.
pub(super) fn metadata_request(out: &mut Vec<u8>, id: u8, block: u32) {
    extended(out, id, format!("d8:msg_typei0e5:piecei{block}ee").as_bytes());
}

/// Interested.
pub(super) fn interested(out: &mut Vec<u8>) {
    out.extend([0, 0, 0, 1, 2]);
}

/// Keep-alive.
pub(super) const KEEP_ALIVE: [u8; 4] = [0; 4];

/// A request for one block of a piece.
pub(super) fn request(out: &mut Vec<u8>, piece: u32, begin: u32, length: u32) {
    out.extend([0, 0, 0, 13, 6]);
    out.extend(piece.to_be_bytes());
    out.extend(begin.to_be_bytes());
    out.extend(length.to_be_bytes());
}

/// A request for hashes of a file's tree.
pub(super) fn hash_request(out: &mut Vec<u8>, request: &HashRequest) {
    out.extend([0, 0, 0, 49, 21]);
    out.extend(request.root);
    for number in [request.base, request.index, request.length, request.proof_layers] {
        out.extend(number.to_be_bytes());
    }
}

fn extended(out: &mut Vec<u8>, id: u8, payload: &[u8]) {
    // Payloads are ours, and short.
    out.extend((payload.len() as u32 + 2).to_be_bytes());
    out.extend([20, id]);
    out.extend(payload);
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
        0 if payload.is_empty() => Ok(Message::Choke),
        1 if payload.is_empty() => Ok(Message::Unchoke),
        0 | 1 => Err(Broken),
        4 => Ok(Message::Have(u32::from_be_bytes(payload.try_into().map_err(|_| Broken)?))),
        5 => Ok(Message::Bitfield(payload)),
        7 => {
            let (piece, rest) = payload.split_first_chunk().ok_or(Broken)?;
            let (begin, data) = rest.split_first_chunk().ok_or(Broken)?;
            Ok(Message::Block { piece: u32::from_be_bytes(*piece), begin: u32::from_be_bytes(*begin), data })
        }
        22 => {
            let (request, hashes) = parse_hash_request(payload).ok_or(Broken)?;
            Ok(Message::Hashes { request, hashes })
        }
        23 => match parse_hash_request(payload) {
            Some((request, [])) => Ok(Message::HashReject(request)),
            _ => Err(Broken),
        },
        20 => {
            let (&id, payload) = payload.split_first().ok_or(Broken)?;
            match id {
                0 => parse_extensions(payload),
                UT_METADATA => parse_metadata(payload),
                _ => Ok(Message::Other),
            }
        }
        // Interest, requests of blocks and of hashes, cancels, DHT ports and messages of extensions that we did not offer.
        _ => Ok(Message::Other),
    }
}

/// A request for hashes as it is repeated in answers, and what follows it.
fn parse_hash_request(payload: &[u8]) -> Option<(HashRequest, &[u8])> {
    let (root, rest) = payload.split_first_chunk()?;
    let (numbers, rest) = rest.split_at_checked(16)?;
    let number = |at: usize| Some(u32::from_be_bytes(*numbers.get(at..)?.first_chunk()?));
    let request = HashRequest {
        root: *root,
        base: number(0)?,
        index: number(4)?,
        length: number(8)?,
        proof_layers: number(12)?,
    };
    Some((request, rest))
}

#[derive(Deserialize)]
struct Extensions {
    #[serde(default)]
    m: Ids,
    metadata_size: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Ids {
    ut_metadata: Option<u8>,
}

fn parse_extensions(payload: &[u8]) -> Result<Message<'_>, Broken> {
    let extensions: Extensions = bencode::decode(payload).ok_or(Broken)?;
    Ok(Message::Extensions {
        ut_metadata: extensions.m.ut_metadata.unwrap_or(0),
        metadata_size: extensions.metadata_size,
    })
}

#[derive(Deserialize)]
struct Metadata {
    msg_type: u8,
    piece: u32,
}

fn parse_metadata(payload: &[u8]) -> Result<Message<'_>, Broken> {
    let head = bencode::first_value(payload).ok_or(Broken)?;
    let Metadata { msg_type, piece } = bencode::decode(head).ok_or(Broken)?;
    match msg_type {
        1 => Ok(Message::MetadataBlock { block: piece, data: payload.get(head.len()..).unwrap_or_default() }),
        2 => Ok(Message::MetadataReject),
        // Requests to us, and types that BEP 9 says to ignore.
        _ => Ok(Message::Other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(bytes: &[u8]) -> Frames {
        Frames { buffer: bytes.to_vec(), read: 0 }
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    #[test]
    fn what_we_send_has_the_layout_of_the_specification() {
        let hello = handshake(&[b'h'; 20], false, b"-SQ0001-abcdefghijkl");
        let expected =
            b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0hhhhhhhhhhhhhhhhhhhh-SQ0001-abcdefghijkl".to_vec();
        assert_eq!(hello.to_vec(), expected);
        assert_eq!(read_handshake(&hello), Ok(([b'h'; 20], true)));
        assert_eq!(handshake(&[b'h'; 20], true, &[0; 20])[20..28], [0, 0, 0, 0, 0, 0x10, 0, 0x10]);
        let mut out = Vec::new();
        interested(&mut out);
        request(&mut out, 1, BLOCK, 5);
        metadata_request(&mut out, 9, 3);
        extension_handshake(&mut out, "x/1");
        let mut expected = b"\0\0\0\x01\x02\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\0\0\x05".to_vec();
        expected.extend(b"\0\0\0\x1b\x14\x09d8:msg_typei0e5:piecei3ee");
        expected.extend(b"\0\0\0\x22\x14\x00d1:md11:ut_metadatai1ee1:v3:x/1e");
        assert_eq!(out, expected);
    }

    #[test]
    fn hashes_have_the_layout_of_the_specification() {
        let request = HashRequest { root: [b'r'; 32], base: 2, index: 512, length: 256, proof_layers: 3 };
        let mut out = Vec::new();
        hash_request(&mut out, &request);
        let head = [&[b'r'; 32][..], b"\0\0\0\x02\0\0\x02\0\0\0\x01\0\0\0\0\x03"].concat();
        assert_eq!(out, [b"\0\0\0\x31\x15", &head[..]].concat());
        let message = |id: u8, rest: &[u8]| framed(&[&[id][..], &head, rest].concat());
        assert_eq!(
            frames(&message(22, b"hashes")).next(),
            Ok(Some(Message::Hashes { request, hashes: b"hashes" }))
        );
        assert_eq!(frames(&message(23, b"")).next(), Ok(Some(Message::HashReject(request))));
        for broken in [message(23, b"x"), framed(b"\x16short"), framed(b"\x17short")] {
            assert_eq!(frames(&broken).next(), Err(Broken));
        }
    }

    #[test]
    fn messages_are_read() {
        let cases: [(&[u8], Message<'_>); 11] = [
            (b"", Message::KeepAlive),
            (b"\0", Message::Choke),
            (b"\x01", Message::Unchoke),
            (b"\x02", Message::Other),
            (b"\x04\0\0\0\x07", Message::Have(7)),
            (b"\x05\xff\x80", Message::Bitfield(b"\xff\x80")),
            (b"\x07\0\0\0\x01\0\0\x40\0data", Message::Block { piece: 1, begin: BLOCK, data: b"data" }),
            (
                b"\x14\x00d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei99e1:pi6881ee",
                Message::Extensions { ut_metadata: 3, metadata_size: Some(99) },
            ),
            (b"\x14\x00de", Message::Extensions { ut_metadata: 0, metadata_size: None }),
            (
                b"\x14\x01d8:msg_typei1e5:piecei2e10:total_sizei9eexyz",
                Message::MetadataBlock { block: 2, data: b"xyz" },
            ),
            (b"\x14\x01d8:msg_typei2e5:piecei0ee", Message::MetadataReject),
        ];
        for (body, message) in cases {
            assert_eq!(frames(&framed(body)).next(), Ok(Some(message)), "{body:?}");
        }
        for broken in
            [&b"\x01x"[..], b"\x04\0\0", b"\x07\0\0\0\x01\0\0", b"\x14", b"\x14\x00x", b"\x14\x01de"]
        {
            assert_eq!(frames(&framed(broken)).next(), Err(Broken), "{broken:?}");
        }
        assert_eq!(frames(&[0, 4, 0, 1]).next(), Err(Broken), "longer than any message");
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_messages(
            blocks in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)), 1..8),
            cut in 1_usize..400,
        ) {
            let bodies: Vec<Vec<u8>> = blocks
                .iter()
                .map(|(piece, data)| [&[7][..], &piece.to_be_bytes(), &[0; 4], data].concat())
                .collect();
            let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for bytes in stream.chunks(cut) {
                frames.space(cut).extend(bytes);
                while let Some(message) = frames.next().unwrap() {
                    let Message::Block { piece, begin: 0, data } = message else { panic!("{message:?}") };
                    seen.push((piece, data.to_vec()));
                }
                frames.rest();
            }
            prop_assert_eq!(seen, blocks);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let mut frames = frames(&bytes);
            while let Ok(Some(_)) = frames.next() {}
        }

        #[test]
        fn arbitrary_extension_payloads_never_panic(id in 0_u8..3, text in "[d1-9:melipsgtyc_za]{0,80}") {
            let _ = parse(&[&[20, id], text.as_bytes()].concat());
        }
    }
}
