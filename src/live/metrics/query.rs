//! The answer of a Prometheus server to an instant query (`/api/v1/query`). By hand: the crate for that API, `prometheus-http-query`, opens
//! sockets by itself, and here every one is the guard's.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// The one value that an answer holds.
///
/// # Errors
/// What is there instead.
pub(super) fn value(body: &[u8]) -> Result<f64, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "no answer of its API".to_owned())?;
    let Some(data) = answer.data else {
        return Err(answer.error.unwrap_or_else(|| "an answer without data".to_owned()));
    };
    let point = match (data.result_type.as_str(), data.result.as_array().map(Vec::as_slice)) {
        ("scalar", _) => &data.result,
        ("vector", Some([one])) => &one["value"],
        ("vector", Some(series)) => return Err(format!("{} series where one is needed", series.len())),
        (other, _) => return Err(format!("a {other} where one number is needed")),
    };
    // [time, "value"]: numbers are text, which can say `NaN`.
    let value = point.get(1).and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
    value.filter(|value| value.is_finite()).ok_or_else(|| "no number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_read_and_all_else_is_told() {
        let vector = |series: &str| {
            value(
                format!(
                    "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{series}]}}}}"
                )
                .as_bytes(),
            )
        };
        assert_eq!(vector(r#"{"metric":{"job":"a"},"value":[1435781451.781,"0.25"]}"#), Ok(0.25));
        assert_eq!(vector(""), Err("0 series where one is needed".to_owned()));
        assert_eq!(
            vector(r#"{"value":[1,"1"]},{"value":[1,"2"]}"#),
            Err("2 series where one is needed".to_owned())
        );
        assert_eq!(vector(r#"{"value":[1,"NaN"]}"#), Err("no number".to_owned()));
        assert_eq!(vector("7"), Err("no number".to_owned()));
        let scalar = br#"{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"2"]}}"#;
        assert_eq!(value(scalar), Ok(2.0));
        let matrix = br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert_eq!(value(matrix), Err("a matrix where one number is needed".to_owned()));
        let error = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(value(error), Err("parse error".to_owned()));
        assert_eq!(value(b"<html>"), Err("no answer of its API".to_owned()));
    }
}
