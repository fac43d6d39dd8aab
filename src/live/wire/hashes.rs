//! Hashes of the trees over files (BEP 52).

use super::super::merkle::Hash;
use super::Message;

/// Which hashes of a file's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct HashRequest {
    /// The file.
    pub(in super::super) root: Hash,
    /// The layer, from the blocks up.
    pub(in super::super) base: u32,
    /// The first hash of it, a multiple of `length`.
    pub(in super::super) index: u32,
    /// Hashes, a power of two.
    pub(in super::super) length: u32,
    /// Layers above for which the hashes beside the way to the root are wanted too.
    pub(in super::super) proof_layers: u32,
}

/// A request for hashes.
pub(in super::super) fn hash_request(out: &mut Vec<u8>, request: &HashRequest) {
    message(out, 21, request);
}

/// A refusal to send hashes.
pub(in super::super) fn hash_reject(out: &mut Vec<u8>, request: &HashRequest) {
    message(out, 23, request);
}

fn message(out: &mut Vec<u8>, id: u8, request: &HashRequest) {
    out.extend([0, 0, 0, 49, id]);
    out.extend(request.root);
    for number in [request.base, request.index, request.length, request.proof_layers] {
        out.extend(number.to_be_bytes());
    }
}

/// Reads what stands behind the id of a message 21, 22 or 23.
pub(super) fn parse(id: u8, payload: &[u8]) -> Option<Message<'_>> {
    let (request, hashes) = request(payload)?;
    match id {
        21 if hashes.is_empty() => Some(Message::HashRequest(request)),
        22 => Some(Message::Hashes { request, hashes }),
        23 if hashes.is_empty() => Some(Message::HashReject(request)),
        _ => None,
    }
}

/// A request as it is repeated in answers, and what follows it.
fn request(payload: &[u8]) -> Option<(HashRequest, &[u8])> {
    let (root, rest) = payload.split_first_chunk()?;
    let (numbers, rest) = rest.split_at_checked(16)?;
    let (&[base, index, length, proof_layers], []) = numbers.as_chunks::<4>() else { return None };
    let [base, index, length, proof_layers] = [base, index, length, proof_layers].map(u32::from_be_bytes);
    Some((HashRequest { root: *root, base, index, length, proof_layers }, rest))
}
