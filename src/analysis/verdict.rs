//! What a run comes to.

use serde::Serialize;

/// What a run comes to. Its exit code is part of the command line's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every layer kept its promise.
    Pass,
    /// A layer broke its promise, or the demand was more than it promises.
    Fail,
    /// Worse than the baseline that it was compared with.
    Regressed,
    /// The generator, not the target, was the limit.
    Invalid,
    /// The guard did not let the load go.
    Refused,
    /// Too little was seen to judge.
    Inconclusive,
}

impl Verdict {
    /// Every verdict, by exit code.
    pub const ALL: [Self; 6] =
        [Self::Pass, Self::Fail, Self::Regressed, Self::Invalid, Self::Refused, Self::Inconclusive];

    /// The name used in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Regressed => "regressed",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// What it means, one line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Pass => "every layer kept its promise",
            Self::Fail => "a layer broke its promise, or the demand was more than it promises",
            Self::Regressed => "worse than the baseline",
            Self::Invalid => "the generator, not the target, was the limit",
            Self::Refused => "the target is not authorised",
            Self::Inconclusive => "too little was seen to judge",
        }
    }

    /// The exit code of the program. 1 is an error of the program or the machine, 2 a file or flag that makes no sense.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 3,
            Self::Regressed => 4,
            Self::Invalid => 5,
            Self::Refused => 6,
            Self::Inconclusive => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        assert_eq!(Verdict::ALL.map(Verdict::exit_code), [0, 3, 4, 5, 6, 7]);
    }
}
