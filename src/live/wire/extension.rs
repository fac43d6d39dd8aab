//! The extension protocol (BEP 10), metadata exchange (BEP 9) and peer exchange (BEP 11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Deserialize;

use super::super::bencode;
use super::{BLOCK, Broken, Message};

/// Our extension id for `ut_metadata`: what peers must put on metadata messages to us.
const UT_METADATA: u8 = 1;
/// Our extension id for `ut_pex`.
const UT_PEX: u8 = 2;
/// Bytes of a block of metadata (BEP 9).
pub(in super::super) const METADATA_BLOCK: usize = BLOCK as usize;
/// Peers that one message may add (BEP 11).
const MAX_ADDED: usize = 50;

/// What a peer's extension handshake says. An id of 0 is no offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Offer {
    /// The peer's id for `ut_metadata`.
    pub(in super::super) ut_metadata: u8,
    /// The peer's id for `ut_pex`.
    pub(in super::super) ut_pex: u8,
    /// Whether it would help to punch holes (BEP 55).
    pub(in super::super) holepunch: bool,
    /// Bytes of the info dictionary.
    pub(in super::super) metadata_size: Option<u64>,
    /// Requests that it lets wait.
    pub(in super::super) reqq: Option<u32>,
    /// The port that it listens on.
    pub(in super::super) port: Option<u16>,
}

/// What we say of ourselves.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Introduction<'a> {
    /// Name and version of the client.
    pub(in super::super) client: &'a str,
    /// Where peers may connect to, if anywhere.
    pub(in super::super) port: Option<u16>,
    /// Bytes of the info dictionary, once known.
    pub(in super::super) metadata_size: Option<usize>,
    /// Requests that we let wait.
    pub(in super::super) reqq: u32,
    /// The peer's address as we see it.
    pub(in super::super) your_ip: IpAddr,
}

/// Our extension handshake.
pub(in super::super) fn hello(out: &mut Vec<u8>, own: &Introduction<'_>) {
    let mut payload = format!("d1:md11:ut_metadatai{UT_METADATA}e6:ut_pexi{UT_PEX}ee").into_bytes();
    if let Some(size) = own.metadata_size {
        payload.extend(format!("13:metadata_sizei{size}e").bytes());
    }
    if let Some(port) = own.port {
        payload.extend(format!("1:pi{port}e").bytes());
    }
    payload.extend(format!("4:reqqi{}e1:v{}:{}", own.reqq, own.client.len(), own.client).bytes());
    let (length, octets) = match own.your_ip {
        IpAddr::V4(ip) => (4, ip.octets().to_vec()),
        IpAddr::V6(ip) => (16, ip.octets().to_vec()),
    };
    payload.extend(format!("6:yourip{length}:").bytes());
    payload.extend(octets);
    payload.push(b'e');
    extended(out, 0, &[&payload]);
}

/// A request for one block of metadata, under the peer's extension id.
pub(in super::super) fn metadata_request(out: &mut Vec<u8>, id: u8, block: u32) {
    extended(out, id, &[format!("d8:msg_typei0e5:piecei{block}ee").as_bytes()]);
}

/// A block of metadata of `size` bytes.
pub(in super::super) fn metadata_block(out: &mut Vec<u8>, id: u8, block: u32, size: usize, data: &[u8]) {
    let head = format!("d8:msg_typei1e5:piecei{block}e10:total_sizei{size}ee");
    extended(out, id, &[head.as_bytes(), data]);
}

/// The refusal of a block of metadata.
pub(in super::super) fn metadata_reject(out: &mut Vec<u8>, id: u8, block: u32) {
    extended(out, id, &[format!("d8:msg_typei2e5:piecei{block}ee").as_bytes()]);
}

/// Peers that we are connected to; at most as many go out as BEP 11 allows. Nothing is said of what they are like, but in as many bytes as
/// there are peers: libtorrent takes no list without.
pub(in super::super) fn pex(out: &mut Vec<u8>, id: u8, peers: &[SocketAddr]) {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for peer in peers.iter().take(MAX_ADDED) {
        match peer.ip() {
            IpAddr::V4(ip) => four.extend(ip.octets().into_iter().chain(peer.port().to_be_bytes())),
            IpAddr::V6(ip) => six.extend(ip.octets().into_iter().chain(peer.port().to_be_bytes())),
        }
    }
    let (four_length, six_length) = (four.len(), six.len());
    let mut payload = format!("d5:added{four_length}:").into_bytes();
    payload.extend(four);
    flags(&mut payload, "7:added.f", four_length / 6);
    payload.extend(format!("6:added6{six_length}:").bytes());
    payload.extend(six);
    flags(&mut payload, "8:added6.f", six_length / 18);
    payload.push(b'e');
    extended(out, id, &[&payload]);
}

fn flags(payload: &mut Vec<u8>, key: &str, peers: usize) {
    payload.extend(format!("{key}{peers}:").bytes());
    payload.resize(payload.len() + peers, 0);
}

fn extended(out: &mut Vec<u8>, id: u8, payload: &[&[u8]]) {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    // Payloads are ours, and short.
    out.extend((length as u32 + 2).to_be_bytes());
    out.extend([20, id]);
    payload.iter().for_each(|part| out.extend(*part));
}

/// Reads an extension message: what stands behind the message's id 20.
pub(super) fn parse(payload: &[u8]) -> Result<Message<'_>, Broken> {
    let (&id, payload) = payload.split_first().ok_or(Broken)?;
    match id {
        0 => parse_offer(payload),
        UT_METADATA => parse_metadata(payload),
        UT_PEX => parse_pex(payload),
        // Extensions that we did not offer.
        _ => Ok(Message::Other),
    }
}

#[derive(Deserialize)]
struct RawOffer {
    #[serde(default)]
    m: Ids,
    metadata_size: Option<u64>,
    reqq: Option<u32>,
    p: Option<u16>,
}

#[derive(Default, Deserialize)]
struct Ids {
    ut_metadata: Option<u8>,
    ut_pex: Option<u8>,
    ut_holepunch: Option<u8>,
}

fn parse_offer(payload: &[u8]) -> Result<Message<'_>, Broken> {
    let RawOffer { m, metadata_size, reqq, p } = bencode::decode(payload).ok_or(Broken)?;
    Ok(Message::Offer(Offer {
        ut_metadata: m.ut_metadata.unwrap_or(0),
        ut_pex: m.ut_pex.unwrap_or(0),
        holepunch: m.ut_holepunch.is_some_and(|id| id != 0),
        metadata_size,
        reqq,
        port: p.filter(|port| *port != 0),
    }))
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
        0 => Ok(Message::MetadataRequest(piece)),
        1 => Ok(Message::MetadataBlock { block: piece, data: payload.get(head.len()..).unwrap_or_default() }),
        2 => Ok(Message::MetadataReject),
        // Types that BEP 9 says to ignore.
        _ => Ok(Message::Other),
    }
}

#[derive(Deserialize)]
struct Pex<'a> {
    #[serde(borrow, default, with = "serde_bytes")]
    added: &'a [u8],
    #[serde(borrow, default, with = "serde_bytes")]
    added6: &'a [u8],
}

fn parse_pex(payload: &[u8]) -> Result<Message<'_>, Broken> {
    let Pex { added, added6 } = bencode::decode(payload).ok_or(Broken)?;
    let (four, []) = added.as_chunks::<6>() else { return Err(Broken) };
    let (six, []) = added6.as_chunks::<18>() else { return Err(Broken) };
    let port = |high, low| u16::from_be_bytes([high, low]);
    let four =
        four.iter().map(|&[a, b, c, d, high, low]| (Ipv4Addr::new(a, b, c, d), port(high, low)).into());
    let six = six.iter().filter_map(|bytes| {
        let (ip, rest) = bytes.split_first_chunk::<16>()?;
        let &[high, low] = rest else { return None };
        Some((Ipv6Addr::from(*ip), port(high, low)).into())
    });
    // More than may be sent at a time is nobody's right; the first are as good as any.
    Ok(Message::Peers(four.chain(six).take(2 * MAX_ADDED).collect()))
}
