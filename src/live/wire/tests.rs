use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn frames(bytes: &[u8]) -> Frames {
    Frames { buffer: bytes.to_vec(), read: 0 }
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

const SPAN: Span = Span { piece: 1, begin: BLOCK, length: 5 };

#[test]
fn what_we_send_has_the_layout_of_the_specification() {
    let own = Handshake::ours([b'h'; 20], false, *b"-SQ0001-abcdefghijkl");
    let expected =
        b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04hhhhhhhhhhhhhhhhhhhh-SQ0001-abcdefghijkl".to_vec();
    assert_eq!(own.encode().to_vec(), expected);
    assert_eq!(Handshake::read(&own.encode()), Ok(own));
    assert_eq!(Handshake::ours([0; 20], true, [0; 20]).encode()[20..28], [0, 0, 0, 0, 0, 0x10, 0, 0x14]);
    let mut out = Vec::new();
    plain(&mut out, Plain::Interested);
    spanning(&mut out, Spanning::Request, SPAN);
    metadata_request(&mut out, 9, 3);
    numbered(&mut out, Numbered::Have, 7);
    bitfield(&mut out, &[0x80]);
    block_head(&mut out, SPAN);
    out.extend(b"bytes");
    let mut expected = b"\0\0\0\x01\x02\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\0\0\x05".to_vec();
    expected.extend(b"\0\0\0\x1b\x14\x09d8:msg_typei0e5:piecei3ee");
    expected.extend(b"\0\0\0\x05\x04\0\0\0\x07\0\0\0\x02\x05\x80");
    expected.extend(b"\0\0\0\x0e\x07\0\0\0\x01\0\0\x40\0bytes");
    assert_eq!(out, expected);
}

#[test]
fn our_extension_handshake_is_bencode_in_order() {
    let mut out = Vec::new();
    let your_ip = Ipv4Addr::LOCALHOST.into();
    hello(
        &mut out,
        &Introduction { client: "x/1", port: Some(6881), metadata_size: Some(99), reqq: 250, your_ip },
    );
    let text = b"d1:md11:ut_metadatai1e6:ut_pexi2ee13:metadata_sizei99e1:pi6881e4:reqqi250e1:v3:x/16:yourip4:\x7f\0\0\x01e";
    assert_eq!(out, framed(&[&[20, 0], &text[..]].concat()));
    let offer = Offer {
        ut_metadata: 1,
        ut_pex: 2,
        holepunch: false,
        metadata_size: Some(99),
        reqq: Some(250),
        port: Some(6881),
    };
    assert_eq!(frames(&out).next(), Ok(Some(Message::Offer(offer))));
}

#[test]
fn hashes_have_the_layout_of_the_specification() {
    let request = HashRequest { root: [b'r'; 32], base: 2, index: 512, length: 256, proof_layers: 3 };
    let mut out = Vec::new();
    hash_request(&mut out, &request);
    hash_reject(&mut out, &request);
    let head = [&[b'r'; 32][..], b"\0\0\0\x02\0\0\x02\0\0\0\x01\0\0\0\0\x03"].concat();
    assert_eq!(out, [b"\0\0\0\x31\x15", &head[..], b"\0\0\0\x31\x17", &head].concat());
    let message = |id: u8, rest: &[u8]| framed(&[&[id][..], &head, rest].concat());
    let whole = message(22, b"hashes");
    assert_eq!(frames(&whole).next(), Ok(Some(Message::Hashes { request, hashes: b"hashes" })));
    assert_eq!(frames(&message(21, b"")).next(), Ok(Some(Message::HashRequest(request))));
    assert_eq!(frames(&message(23, b"")).next(), Ok(Some(Message::HashReject(request))));
    for broken in [message(23, b"x"), message(21, b"x"), framed(b"\x16short"), framed(b"\x17short")] {
        assert_eq!(frames(&broken).next(), Err(Broken));
    }
}

#[test]
fn messages_are_read() {
    let cases: [(&[u8], Message<'_>); 20] = [
        (b"", Message::KeepAlive),
        (b"\0", Message::Choke),
        (b"\x01", Message::Unchoke),
        (b"\x02", Message::Interested),
        (b"\x03", Message::NotInterested),
        (b"\x04\0\0\0\x07", Message::Have(7)),
        (b"\x05\xff\x80", Message::Bitfield(b"\xff\x80")),
        (b"\x06\0\0\0\x01\0\0\x40\0\0\0\0\x05", Message::Request(SPAN)),
        (b"\x07\0\0\0\x01\0\0\x40\0data", Message::Block { piece: 1, begin: BLOCK, data: b"data" }),
        (b"\x08\0\0\0\x01\0\0\x40\0\0\0\0\x05", Message::Cancel(SPAN)),
        (b"\x0d\0\0\0\x01", Message::Other),
        (b"\x0e", Message::HaveAll),
        (b"\x0f", Message::HaveNone),
        (b"\x10\0\0\0\x01\0\0\x40\0\0\0\0\x05", Message::Reject(SPAN)),
        (b"\x11\0\0\0\x07", Message::AllowedFast(7)),
        (
            b"\x14\x00d1:md11:ut_metadatai3e12:ut_holepunchi4e6:ut_pexi1ee13:metadata_sizei99e1:pi6881ee",
            Message::Offer(Offer {
                ut_metadata: 3,
                ut_pex: 1,
                holepunch: true,
                metadata_size: Some(99),
                reqq: None,
                port: Some(6881),
            }),
        ),
        (b"\x14\x00de", Message::Offer(Offer::default())),
        (b"\x14\x01d8:msg_typei0e5:piecei2ee", Message::MetadataRequest(2)),
        (
            b"\x14\x01d8:msg_typei1e5:piecei2e10:total_sizei9eexyz",
            Message::MetadataBlock { block: 2, data: b"xyz" },
        ),
        (b"\x14\x01d8:msg_typei2e5:piecei0ee", Message::MetadataReject),
    ];
    for (body, message) in cases {
        assert_eq!(frames(&framed(body)).next(), Ok(Some(message)), "{body:?}");
    }
    for broken in [
        &b"\x01x"[..],
        b"\x04\0\0",
        b"\x06\0\0\0\x01\0\0\x40\0\0\0\0",
        b"\x07\0\0\0\x01\0\0",
        b"\x14",
        b"\x14\x00x",
        b"\x14\x01de",
        b"\x14\x02d5:added5:abcdee",
    ] {
        assert_eq!(frames(&framed(broken)).next(), Err(Broken), "{broken:?}");
    }
    assert_eq!(frames(&[0, 4, 0, 1]).next(), Err(Broken), "longer than any message");
}

proptest! {
    #[test]
    fn peers_of_others_survive_the_wire(
        peers in prop::collection::vec((any::<std::net::IpAddr>(), any::<u16>()), 0..50),
    ) {
        let mut peers: Vec<std::net::SocketAddr> = peers.into_iter().map(Into::into).collect();
        let mut out = Vec::new();
        pex(&mut out, 2, &peers);
        peers.sort_by_key(std::net::SocketAddr::is_ipv6);
        let mut frames = frames(&out);
        prop_assert_eq!(frames.next(), Ok(Some(Message::Peers(peers))));
    }

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
    fn arbitrary_extension_payloads_never_panic(id in 0_u8..4, text in "[d1-9:melipsgtyc_za]{0,80}") {
        let _ = parse(&[&[20, id], text.as_bytes()].concat());
    }
}
