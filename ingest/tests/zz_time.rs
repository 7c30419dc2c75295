use ingest::*;
#[test]
fn time() {
    let j = br#"{"v":1,"type":"heartbeat","device":"d-0000123456","ring":"fast","time":"2026-07-19T04:09:12.345Z","seq":18231,"build":"10.0.22631.3880","model":"Latitude-5440","interval_s":3600,"uptime_s":86211,"attrs":{"driver":"nv-551.23","region":"eu-west"}}"#;
    let cohorts = ["model", "build", "driver", "region"].map(str::to_owned).to_vec();
    let mut d = Decoder::new(DecodeConfig { cohorts, ..DecodeConfig::default() });
    let at = Arrival::At(schemas::Timestamp(1_784_437_200_000_000));
    for _ in 0..5 {
        let t = std::time::Instant::now();
        let mut s = 0;
        for _ in 0..1_000_000 {
            s += d.telemetry(std::hint::black_box(j), at).unwrap().event.seq.unwrap();
        }
        eprintln!("{} ns  {s} len {}", t.elapsed().as_nanos() / 1_000_000, j.len());
    }
}
