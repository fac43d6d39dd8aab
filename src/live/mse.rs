//! Message stream encryption: what keeps a connection between peers from being told by its bytes. Not written down in any BEP; Vuze's
//! page "Message Stream Encryption" is the specification, and its names are used here. There is no crate for it.
//!
//! It hides, and protects nothing: RC4, a Diffie-Hellman exchange that nobody signs, and here keys from a seeded stream.

use num_bigint::BigUint;
use rand::RngExt;
use rc4::{KeyInit, Rc4, StreamCipher};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::guard::cause;
use crate::journey::Cause;

/// `P`; the generator is 2.
const PRIME: &[u8] = b"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A\
    431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563";
/// Length of a public key and of the secret.
const KEY: usize = 96;
/// Longest `PadA` to `PadD`.
const MAX_PAD: usize = 512;
/// `VC`: eight zeros, by which the beginning of what is encrypted is found.
const VC: [u8; 8] = [0; 8];
/// Bytes of a key stream that are thrown away, as its beginning tells of the key.
const DISCARDED: usize = 1_024;

/// `crypto_provide` and `crypto_select`: the bytes after the handshake are as they are.
pub(super) const PLAINTEXT: u32 = 1;
/// They are encrypted.
pub(super) const ARC4: u32 = 2;

/// What both sides have agreed on.
pub(super) struct Agreed {
    /// How what follows is encrypted; `None` where it is not.
    pub(super) ciphers: Option<Box<Ciphers>>,
    /// What came behind the handshake, decrypted.
    pub(super) ahead: Vec<u8>,
}

/// The key streams of a connection.
pub(super) struct Ciphers {
    incoming: Rc4,
    outgoing: Rc4,
}

impl Ciphers {
    pub(super) fn decrypt(&mut self, bytes: &mut [u8]) {
        self.incoming.apply_keystream(bytes);
    }

    pub(super) fn encrypt(&mut self, bytes: &mut [u8]) {
        self.outgoing.apply_keystream(bytes);
    }
}

/// Encrypts a connection that this side has opened, for the swarm of `info_hash`; `provide` is what it can go on with.
///
/// # Errors
/// [`Cause::Malformed`] where the other side does something else, [`Cause::Rejected`] where it takes nothing of what is provided, or what
/// became of the connection.
pub(super) async fn initiate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    info_hash: &[u8; 20],
    provide: u32,
    random: &mut impl RngExt,
) -> Result<Agreed, Cause> {
    let own = Exchange::new(random);
    write(stream, &own.introduction(random)).await?;
    let mut inlet = Inlet { stream, bytes: Vec::new() };
    let secret = own.secret(&inlet.array().await?);
    let mut ciphers = Ciphers {
        incoming: secret.cipher(b"keyB", info_hash)?,
        outgoing: secret.cipher(b"keyA", info_hash)?,
    };

    // No `PadC` and no `IA`.
    let mut offer = [&VC[..], &provide.to_be_bytes(), &[0; 4]].concat();
    ciphers.encrypt(&mut offer);
    let request = [&secret.hash(b"req1")[..], &secret.token(info_hash), &offer].concat();
    write(inlet.stream, &request).await?;

    let mut vc = VC;
    ciphers.decrypt(&mut vc);
    inlet.skip_past(&vc).await?;
    let mut answer = inlet.array::<6>().await?;
    ciphers.decrypt(&mut answer);
    let [select @ .., high, low] = answer;
    let mut pad = inlet.take(length(high, low, MAX_PAD)?).await?;
    ciphers.decrypt(&mut pad);
    let select = u32::from_be_bytes(select);
    if !matches!(select, PLAINTEXT | ARC4) || select & provide == 0 {
        return Err(Cause::Rejected);
    }
    Ok(agreed(select, ciphers, Vec::new(), inlet.bytes))
}

/// What a peer wants that has begun to encrypt the connection that it opened.
pub(super) struct Asked {
    secret: Secret,
    token: [u8; 20],
    /// What came behind.
    bytes: Vec<u8>,
}

/// Answers a peer that begins to encrypt, and has sent `first` so far, as far as its wish.
///
/// # Errors
/// [`Cause::Malformed`] where it does something else, or what became of the connection.
pub(super) async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    first: Vec<u8>,
    random: &mut impl RngExt,
) -> Result<Asked, Cause> {
    let own = Exchange::new(random);
    let mut inlet = Inlet { stream, bytes: first };
    let secret = own.secret(&inlet.array().await?);
    write(inlet.stream, &own.introduction(random)).await?;
    inlet.skip_past(&secret.hash(b"req1")).await?;
    let token = inlet.array().await?;
    Ok(Asked { secret, token, bytes: inlet.bytes })
}

impl Asked {
    /// Whether it wants the swarm of this torrent.
    pub(super) fn is_for(&self, info_hash: &[u8; 20]) -> bool {
        self.secret.token(info_hash) == self.token
    }

    /// Goes on with the torrent that it wants; `accept` is what this side can go on with, of which it takes the safest.
    ///
    /// # Errors
    /// As [`receive`]; [`Cause::Rejected`] where nothing suits both.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: &mut S,
        info_hash: &[u8; 20],
        accept: u32,
    ) -> Result<Agreed, Cause> {
        let Self { secret, bytes, .. } = self;
        let mut ciphers = Ciphers {
            incoming: secret.cipher(b"keyA", info_hash)?,
            outgoing: secret.cipher(b"keyB", info_hash)?,
        };
        let mut inlet = Inlet { stream, bytes };
        let mut offer = inlet.array::<14>().await?;
        ciphers.decrypt(&mut offer);
        let [vc @ .., p0, p1, p2, p3, high, low] = offer;
        if vc != VC {
            return Err(Cause::Malformed);
        }
        let mut pad = inlet.take(length(high, low, MAX_PAD)?).await?;
        ciphers.decrypt(&mut pad);
        let mut count = inlet.array::<2>().await?;
        ciphers.decrypt(&mut count);
        let mut initial = inlet.take(usize::from(u16::from_be_bytes(count))).await?;
        ciphers.decrypt(&mut initial);
        let both = accept & u32::from_be_bytes([p0, p1, p2, p3]);
        let select = match both {
            both if both & ARC4 != 0 => ARC4,
            both if both & PLAINTEXT != 0 => PLAINTEXT,
            _ => return Err(Cause::Rejected),
        };
        // No `PadD`.
        let mut answer = [&VC[..], &select.to_be_bytes(), &[0; 2]].concat();
        ciphers.encrypt(&mut answer);
        write(inlet.stream, &answer).await?;
        Ok(agreed(select, ciphers, initial, inlet.bytes))
    }
}

fn agreed(select: u32, mut ciphers: Ciphers, mut ahead: Vec<u8>, mut rest: Vec<u8>) -> Agreed {
    if select == ARC4 {
        ciphers.decrypt(&mut rest);
    }
    ahead.append(&mut rest);
    Agreed { ciphers: (select == ARC4).then(|| Box::new(ciphers)), ahead }
}

fn length(high: u8, low: u8, most: usize) -> Result<usize, Cause> {
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length <= most { Ok(length) } else { Err(Cause::Malformed) }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), Cause> {
    stream.write_all(bytes).await.map_err(|error| cause(&error))
}

/// What has come and nobody has looked at.
struct Inlet<'s, S> {
    stream: &'s mut S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Inlet<'_, S> {
    async fn fill(&mut self, length: usize) -> Result<(), Cause> {
        while self.bytes.len() < length {
            if self.stream.read_buf(&mut self.bytes).await.map_err(|error| cause(&error))? == 0 {
                return Err(Cause::Closed);
            }
        }
        Ok(())
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, Cause> {
        self.fill(length).await?;
        Ok(self.bytes.drain(..length).collect())
    }

    async fn array<const N: usize>(&mut self) -> Result<[u8; N], Cause> {
        self.take(N).await?.try_into().map_err(|_| Cause::Malformed)
    }

    /// Skips a padding of unknown length, up to and with this mark.
    async fn skip_past(&mut self, mark: &[u8]) -> Result<(), Cause> {
        for start in 0..=MAX_PAD {
            self.fill(start + mark.len()).await?;
            if self.bytes.get(start..start + mark.len()) == Some(mark) {
                self.bytes.drain(..start + mark.len());
                return Ok(());
            }
        }
        Err(Cause::Malformed)
    }
}

/// One side of a Diffie-Hellman exchange.
struct Exchange {
    private: BigUint,
}

impl Exchange {
    /// With a private key of 160 bits, as many as are of use.
    fn new(random: &mut impl RngExt) -> Self {
        Self { private: BigUint::from_bytes_be(&random.random::<[u8; 20]>()) }
    }

    /// The public key and a padding.
    fn introduction(&self, random: &mut impl RngExt) -> Vec<u8> {
        let mut bytes = fixed(&BigUint::from(2_u32).modpow(&self.private, &prime())).to_vec();
        bytes.resize(KEY + random.random_range(0..=MAX_PAD), 0);
        random.fill(&mut bytes[KEY..]);
        bytes
    }

    fn secret(&self, theirs: &[u8; KEY]) -> Secret {
        Secret(fixed(&BigUint::from_bytes_be(theirs).modpow(&self.private, &prime())))
    }
}

/// `S`, which only both sides know.
struct Secret([u8; KEY]);

impl Secret {
    fn hash(&self, name: &[u8]) -> [u8; 20] {
        hash(&[name, &self.0])
    }

    /// What names the torrent to who knows it.
    fn token(&self, info_hash: &[u8; 20]) -> [u8; 20] {
        let mut token = hash(&[b"req2", info_hash]);
        token.iter_mut().zip(self.hash(b"req3")).for_each(|(byte, other)| *byte ^= other);
        token
    }

    fn cipher(&self, name: &[u8], info_hash: &[u8; 20]) -> Result<Rc4, Cause> {
        let key = hash(&[name, &self.0, info_hash]);
        let mut cipher = Rc4::new_from_slice(&key).map_err(|_| Cause::Local)?;
        cipher.apply_keystream(&mut [0; DISCARDED]);
        Ok(cipher)
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    parts.iter().for_each(|part| sha1.update(part));
    sha1.finalize().into()
}

fn prime() -> BigUint {
    BigUint::parse_bytes(PRIME, 16).unwrap_or_default()
}

/// A number below the prime in as many bytes as it has.
fn fixed(number: &BigUint) -> [u8; KEY] {
    let bytes = number.to_bytes_be();
    let mut fixed = [0; KEY];
    if let Some(end) = KEY.checked_sub(bytes.len()).and_then(|zeros| fixed.get_mut(zeros..)) {
        end.copy_from_slice(&bytes);
    }
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_xoshiro::SplitMix64;
    use tokio::io::DuplexStream;

    const HASH: [u8; 20] = *b"the hash of a swarm.";

    /// Both sides of a handshake, with these methods: what came of it, and the ends of the connection.
    fn shake_hands(seed: u64, provide: u32, accept: u32) -> [(Result<Agreed, Cause>, DuplexStream); 2] {
        let (mut ours, mut theirs) = tokio::io::duplex(4_096);
        let opens = async move {
            let mut random = SplitMix64::seed_from_u64(seed);
            let agreed = initiate(&mut ours, &HASH, provide, &mut random).await;
            (agreed, ours)
        };
        let answers = async move {
            let mut random = SplitMix64::seed_from_u64(!seed);
            let agreed = match receive(&mut theirs, Vec::new(), &mut random).await {
                Ok(asked) => {
                    assert!(asked.is_for(&HASH) && !asked.is_for(&[0; 20]));
                    asked.accept(&mut theirs, &HASH, accept).await
                }
                Err(cause) => Err(cause),
            };
            if agreed.is_err() {
                theirs.shutdown().await.unwrap();
            }
            (agreed, theirs)
        };
        let both = futures_util::future::join(opens, answers);
        // The ends are all there is: nothing is ever waited for but the other.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(both).into()
    }

    #[test]
    fn the_prime_is_the_one_of_the_specification() {
        assert_eq!((PRIME.len(), prime().bits()), (192, 768));
        // 2^16 is below it, and in as many bytes.
        assert_eq!(fixed(&BigUint::from(65_536_u32))[92..], [0, 1, 0, 0]);
    }

    #[test]
    fn the_safest_method_of_both_is_taken() {
        for (provide, accept, select) in [
            (PLAINTEXT, PLAINTEXT, Some(PLAINTEXT)),
            (PLAINTEXT | ARC4, PLAINTEXT, Some(PLAINTEXT)),
            (PLAINTEXT, PLAINTEXT | ARC4, Some(PLAINTEXT)),
            (PLAINTEXT | ARC4, PLAINTEXT | ARC4, Some(ARC4)),
            (ARC4, PLAINTEXT | ARC4, Some(ARC4)),
            (ARC4, PLAINTEXT, None),
            (PLAINTEXT, ARC4, None),
        ] {
            let [(ours, _), (theirs, _)] = shake_hands(7, provide, accept);
            let taken = |agreed: &Result<Agreed, Cause>| {
                let agreed = agreed.as_ref().ok()?;
                Some(if agreed.ciphers.is_some() { ARC4 } else { PLAINTEXT })
            };
            assert_eq!((taken(&ours), taken(&theirs)), (select, select), "{provide} {accept}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_one_side_encrypts_the_other_reads(seed: u64, text: Vec<u8>) {
            let [(ours, _), (theirs, _)] = shake_hands(seed, ARC4, ARC4);
            let mut ours = ours.unwrap().ciphers.unwrap();
            let mut theirs = theirs.unwrap().ciphers.unwrap();
            let mut there = text.clone();
            ours.encrypt(&mut there);
            prop_assert!(text.len() < 8 || there != text);
            theirs.decrypt(&mut there);
            prop_assert_eq!(&there, &text);
            theirs.encrypt(&mut there);
            ours.decrypt(&mut there);
            prop_assert_eq!(&there, &text);
        }
    }

    #[test]
    fn whoever_does_something_else_is_found_out() {
        let mut random = SplitMix64::seed_from_u64(1);
        let mut peer = tokio::io::join(&[9; 2_000][..], tokio::io::sink());
        let agreed = initiate(&mut peer, &HASH, ARC4, &mut random).now_or_never().unwrap();
        assert_eq!(agreed.err(), Some(Cause::Malformed));
        let mut peer = tokio::io::join(&[9; 2_000][..], tokio::io::sink());
        let asked = receive(&mut peer, vec![9; 50], &mut random).now_or_never().unwrap();
        assert_eq!(asked.err(), Some(Cause::Malformed));
        let mut peer = tokio::io::join(&[9; 200][..], tokio::io::sink());
        let asked = receive(&mut peer, Vec::new(), &mut random).now_or_never().unwrap();
        assert_eq!(asked.err(), Some(Cause::Closed));
    }
}
