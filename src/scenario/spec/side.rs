//! What a scenario file says of the traffic beside the funnel.

use std::time::Duration;

use crate::problem::{Name, Names, OneOf, Reported, Table, UrlPath};
use crate::scenario::types::{Lag, SideRate, SideTraffic};
use crate::scenario::values::{Each, Follows, Json, KeptConnections, Method, Strength};
use crate::unit::Rate;

use super::{MINUTE, lag};

pub(super) fn side(table: &mut Table<'_>) -> Result<Vec<SideTraffic>, Reported> {
    let mut unique = Names::default();
    let side = table.tables("side", "HTTP traffic beside the funnel.", |table| {
        let name = table.required::<Name>("name", "Name in files and reports.");
        let server = table.optional::<Name>(
            "server",
            "Which `web` server of the target it goes to; the index where it is left out.",
        );
        let path = table.required::<UrlPath>("path", "Path that is asked for.");
        let body = body(table);
        let connections = table.optional::<KeptConnections>(
            "connections",
            "Connections that it keeps, over all workers (at least one each); where left out each request has one of its own.",
        );
        let rate = rate(table);
        let name = name?.0.0;
        unique.claim(table, "name", &name)?;
        let server = server?.map(|server| server.0.0);
        let connections = connections?.map(|connections| connections.0);
        Ok(SideTraffic { name, server, path: path?.0.0, body: body?, connections, rate: rate? })
    })?;
    if side.len() > 256 {
        let hint = "at most 256 are told apart".to_owned();
        return Err(table.wrong("side", format!("{} times `side` is too many", side.len()), Some(hint)));
    }
    Ok(side)
}

/// A request has a body exactly when it posts one.
fn body(table: &mut Table<'_>) -> Result<Option<String>, Reported> {
    let method = table.or("method", "How it is asked for.", OneOf(Method::Get));
    let body = table
        .optional::<Json>("body", "JSON that a \"POST\" sends, such as a call of a wallet's RPC gateway.");
    match (method?.0, body?) {
        (Method::Get, None) => Ok(None),
        (Method::Post, Some(body)) => Ok(Some(body.0.0)),
        (Method::Post, None) => Err(table.miss::<Json>("body")),
        (Method::Get, Some(_)) => {
            let hint = "add `method = \"POST\"`".to_owned();
            Err(table.wrong("body", "a \"GET\" has no body".to_owned(), Some(hint)))
        }
    }
}

fn rate(table: &mut Table<'_>) -> Result<SideRate, Reported> {
    let follows = table.required::<OneOf<Follows>>(
        "follows",
        "What it grows with: a kind of attention, or what visitors do in the funnel.",
    );
    let base = table.optional::<Rate>("base", "Requests on a normal day; where it follows attention.");
    let gain = table.or("gain", "Growth per unit of excess; where it follows attention.", Strength(1.0));
    let each = table.optional::<Each>(
        "each",
        "Requests for each visit, metadata request, start or stop that it follows.",
    );
    let after =
        table.optional_table("lag", "Time from what it follows in the funnel to the request.", |table| {
            lag(table, (MINUTE, 10 * MINUTE))
        });
    let not_with = |key: &str, follows: &str, instead: &str| {
        let hint = format!("`{instead}` says how often");
        table.wrong(key, format!("`{key}` has no meaning where it follows {follows}"), Some(hint))
    };
    match follows?.0 {
        Follows::Attention(follows) => {
            if let Some(key) = ["each", "lag"].into_iter().find(|key| table.has(key)) {
                return Err(not_with(key, "attention", "base"));
            }
            let Some(base) = base? else { return Err(table.miss::<Rate>("base")) };
            Ok(SideRate::Attention { follows, base: base.0, gain: gain?.0 })
        }
        Follows::Funnel(follows) => {
            if let Some(key) = ["base", "gain"].into_iter().find(|key| table.has(key)) {
                return Err(not_with(key, "the funnel", "each"));
            }
            let Some(each) = each? else { return Err(table.miss::<Each>("each")) };
            let together = Lag { median: Duration::ZERO, p90: Duration::ZERO };
            Ok(SideRate::Funnel { follows, each: each.0, lag: after?.unwrap_or(together) })
        }
    }
}
