//! DNS messages (RFC 1035) as a stub needs them: one question out, addresses in. The codec is hickory-proto's.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use crate::journey::Cause;

/// One question to a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    id: u16,
    name: Name,
    of: RecordType,
}

/// What a datagram is to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Not an answer to it: another id, another question, or no answer at all.
    Unasked,
    /// Cut off to fit a datagram: to be asked again over TCP (RFC 7766).
    Truncated,
    /// The addresses at the end of its chain of aliases; may be none.
    Addresses {
        list: Vec<IpAddr>,
        /// The shortest life of the records that led there.
        ttl: Duration,
    },
    /// The resolver says that there is none, or that it cannot tell; or its answer broke the protocol.
    Failed(Cause),
}

impl Question {
    /// A question for the addresses of `name` in one family; `None` where that is not a name.
    pub(super) fn new(id: u16, name: &str, ipv6: bool) -> Option<Self> {
        let mut name = Name::from_ascii(name).ok()?;
        name.set_fqdn(true);
        Some(Self { id, name, of: if ipv6 { RecordType::AAAA } else { RecordType::A } })
    }

    /// As a datagram. Without EDNS, as the stub of glibc asks: answers beyond 512 bytes come over TCP.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.of));
        message.to_vec().ok()
    }

    /// What `datagram` is to this question.
    pub(super) fn read(&self, datagram: &[u8]) -> Answer {
        let Some(([high, low], _)) = datagram.split_first_chunk() else { return Answer::Unasked };
        if u16::from_be_bytes([*high, *low]) != self.id {
            return Answer::Unasked;
        }
        let Ok(message) = Message::from_vec(datagram) else { return Answer::Failed(Cause::Malformed) };
        let metadata = &message.metadata;
        if metadata.message_type != MessageType::Response || !self.is_echoed(&message) {
            return Answer::Unasked;
        }
        match metadata.response_code {
            ResponseCode::NoError if metadata.truncation => Answer::Truncated,
            ResponseCode::NoError => self.addresses(&message),
            // The profile says that the name is there.
            ResponseCode::NXDomain => Answer::Failed(Cause::Incorrect),
            ResponseCode::ServFail => Answer::Failed(Cause::ServerError),
            _ => Answer::Failed(Cause::Rejected),
        }
    }

    /// A refusal may come without the question (RFC 8906), anything else repeats it.
    fn is_echoed(&self, message: &Message) -> bool {
        match message.queries.as_slice() {
            [query] => {
                query.name == self.name && query.query_type == self.of && query.query_class == DNSClass::IN
            }
            [] => message.metadata.response_code != ResponseCode::NoError,
            _ => false,
        }
    }

    fn addresses(&self, message: &Message) -> Answer {
        let mut name = self.name.clone();
        let mut ttl = u32::MAX;
        // Each turn follows one alias: no chain is longer than the answer.
        for _ in 0..=message.answers.len() {
            let records: Vec<_> = message.answers.iter().filter(|record| record.name == name).collect();
            let list: Vec<IpAddr> = records.iter().filter_map(|record| self.address(&record.data)).collect();
            let alias = records.iter().find_map(|record| match &record.data {
                RData::CNAME(alias) => Some(alias.0.clone()),
                _ => None,
            });
            ttl = records.iter().map(|record| record.ttl).fold(ttl, u32::min);
            match alias.filter(|_| list.is_empty()) {
                Some(alias) => name = alias,
                None => return Answer::Addresses { list, ttl: Duration::from_secs(ttl.into()) },
            }
        }
        Answer::Failed(Cause::Incorrect)
    }

    fn address(&self, data: &RData) -> Option<IpAddr> {
        match data {
            RData::A(address) if self.of == RecordType::A => Some(address.0.into()),
            RData::AAAA(address) if self.of == RecordType::AAAA => Some(address.0.into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, AAAA, CNAME};
    use proptest::prelude::*;

    use super::*;

    fn question() -> Question {
        Question::new(0x1234, "index.fleet.test", false).unwrap()
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn answer(code: ResponseCode, records: &[(&str, u32, RData)]) -> Vec<u8> {
        let mut message = Message::response(0x1234, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(name("INDEX.fleet.test."), RecordType::A));
        for (owner, ttl, data) in records {
            message.add_answer(Record::from_rdata(name(owner), *ttl, data.clone()));
        }
        message.to_vec().unwrap()
    }

    fn a(last: u8) -> RData {
        RData::A(A::new(127, 0, 0, last))
    }

    #[test]
    fn a_question_is_what_the_standard_says() {
        let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05index\x05fleet\x04test\0\0\x01\0\x01";
        assert_eq!(question().encode().unwrap(), expected);
        assert_eq!(Question::new(1, "a..b", false), None);
    }

    #[test]
    fn addresses_stand_at_the_end_of_the_aliases() {
        let alias = |to| RData::CNAME(CNAME(name(to)));
        let plain =
            answer(ResponseCode::NoError, &[("index.fleet.test.", 60, a(1)), ("other.test.", 1, a(2))]);
        let ttl = Duration::from_secs(60);
        assert_eq!(
            question().read(&plain),
            Answer::Addresses { list: vec!["127.0.0.1".parse().unwrap()], ttl }
        );
        let six = RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1));
        let chain = [
            ("index.fleet.test.", 300, alias("lb.fleet.test.")),
            ("lb.fleet.test.", 5, alias("n1.fleet.test.")),
            ("n1.fleet.test.", 60, a(3)),
            ("n1.fleet.test.", 60, six),
        ];
        let ttl = Duration::from_secs(5);
        let list = vec!["127.0.0.3".parse().unwrap()];
        assert_eq!(question().read(&answer(ResponseCode::NoError, &chain)), Answer::Addresses { list, ttl });
        let ring = [("index.fleet.test.", 1, alias("b.test.")), ("b.test.", 1, alias("index.fleet.test."))];
        assert_eq!(question().read(&answer(ResponseCode::NoError, &ring)), Answer::Failed(Cause::Incorrect));
    }

    #[test]
    fn what_a_resolver_cannot_do_has_its_cause() {
        for (code, cause) in [
            (ResponseCode::NXDomain, Cause::Incorrect),
            (ResponseCode::ServFail, Cause::ServerError),
            (ResponseCode::Refused, Cause::Rejected),
        ] {
            assert_eq!(question().read(&answer(code, &[])), Answer::Failed(cause));
        }
        let mut cut = answer(ResponseCode::NoError, &[("index.fleet.test.", 60, a(1))]);
        cut[2] |= 2;
        assert_eq!(question().read(&cut), Answer::Truncated);
        cut[2] &= !2;
        cut.truncate(cut.len() - 3);
        assert_eq!(question().read(&cut), Answer::Failed(Cause::Malformed));
    }

    #[test]
    fn what_answers_another_question_is_none() {
        let whole = answer(ResponseCode::NoError, &[("index.fleet.test.", 60, a(1))]);
        let others = [
            Question::new(0x1235, "index.fleet.test", false),
            Question::new(0x1234, "index.fleet.example", false),
            Question::new(0x1234, "index.fleet.test", true),
        ];
        assert!(others.into_iter().all(|other| other.unwrap().read(&whole) == Answer::Unasked));
        assert_eq!(question().read(&question().encode().unwrap()), Answer::Unasked, "an echo");
        assert_eq!(question().read(b"x"), Answer::Unasked);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), ours in any::<bool>()) {
            if ours && bytes.len() > 2 {
                bytes[..2].copy_from_slice(&[0x12, 0x34]);
            }
            let _ = question().read(&bytes);
        }

        #[test]
        fn damaged_answers_never_panic(at in 0usize..80, byte in any::<u8>(), length in 0usize..80) {
            let mut whole = answer(ResponseCode::NoError, &[("index.fleet.test.", 60, a(1))]);
            if let Some(place) = whole.get_mut(at) {
                *place = byte;
            }
            whole.truncate(length);
            let _ = question().read(&whole);
        }

        #[test]
        fn addresses_survive_the_way(addresses in prop::collection::vec(any::<[u8; 4]>(), 0..20), ttl in 0u32..100_000) {
            let records: Vec<_> = addresses
                .iter()
                .map(|&[a, b, c, d]| ("index.fleet.test.", ttl, RData::A(A::new(a, b, c, d))))
                .collect();
            let Answer::Addresses { list, .. } = question().read(&answer(ResponseCode::NoError, &records)) else {
                return Err(TestCaseError::fail("no addresses"));
            };
            prop_assert_eq!(list, addresses.into_iter().map(IpAddr::from).collect::<Vec<_>>());
        }
    }
}
