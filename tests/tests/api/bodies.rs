//! Bodies of pushes, written from the vendors' documents, and sockets that break them off.

use std::net::SocketAddr;

use md5::{Digest, Md5};
use outdial_tests::{secrets::PUSH_SECRET, waiting::soon};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::uploads::CAMPAIGN;

/// A result of the campaign (WellCloud contract 3), answered in the first round.
pub fn result(index: usize) -> Value {
    let started = 1_559_124_400_892_u64 + u64::try_from(index).unwrap() * 1_000;
    json!({
        "respondTime": started + 5_000, "state": 0, "round": 1, "batchId": "S-20190529100640892",
        "prdType": "S", "callId": format!("call-{index:05}"), "endTime": started + 30_000,
        "agent": "5902@ocm.test", "msg": 0, "id": format!("e-{index}"), "startTime": started,
        "activityId": CAMPAIGN, "failMsg": "成功",
    })
}

/// A push of so many results.
pub fn results(count: usize) -> String {
    (0..count).map(result).collect::<Value>().to_string()
}

/// The data of an ICSOC call record (ICSOC contract 2.2), not connected.
pub fn call(call_id: &str) -> String {
    format!(
        r#"{{"vcc_id":"782","call_id":"{call_id}","caller":"01000001234","called":"13300004321","called_type":"MOBILE","start_time":"1623996691","ring_time":"1623996696","ans_time":"0","link_time":"0","end_time":"1623996721","ans_secs":"0","link_secs":"0","all_secs":"30","callresult":"0","endresult":"12","user_data":{{"proid":"10195","taskid":"7"}},"trans_agent":[]}}"#
    )
}

/// `md5($text . $secret)` in hexadecimal (ICSOC public documents).
pub fn sign(text: &str, secret: &str) -> String {
    Md5::digest(format!("{text}{secret}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A signed envelope of this type around data that is written as it stands.
pub fn envelope(kind: &str, data: &str) -> String {
    let sign = sign(data, PUSH_SECRET);
    format!(r#"{{"type":{kind},"data":{data},"sign":"{sign}","timestamp":"2021-06-18 14:12:01"}}"#)
}

/// Sends bytes as they are, and reads what comes back until the other side closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    connection.shutdown().await.unwrap();
    let mut reply = Vec::new();
    // A reset after the reply is as good as an end.
    let _ = soon("the reply to a broken request", connection.read_to_end(&mut reply)).await;
    String::from_utf8_lossy(&reply).into_owned()
}

/// Sends bytes and then nothing, keeping the connection, and reads the reply.
pub async fn stall(address: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut reply = vec![0; 4_096];
    let read = soon("the reply to a stalled request", connection.read(&mut reply)).await.unwrap();
    String::from_utf8_lossy(&reply[..read]).into_owned()
}

/// Sends bytes and resets the connection without reading.
pub async fn reset(address: SocketAddr, bytes: &[u8]) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    connection.set_zero_linger().unwrap();
}

/// The head of a push with this announced length.
pub fn head(url: &str, length: usize) -> String {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap();
    format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}
