use crate::bind::{self, Target, parameters::Parameters};
use crate::decode::mysql::Decoder;
use crate::decode::wire::*;
use oxyde_exec::query::Column;
use oxyde_sql::{BindSlot, SqlType, Transform};
use pyo3::prelude::*;
#[test]
fn scratch() {
    Python::initialize();
    Python::attach(|py| {
        crate::layout::init(py).unwrap();
        let g = pyo3::types::PyDict::new(py);
        py.run(c"import sys\nsys.path.insert(0,'/tmp/wt/values/packages/oxyde-core/python')\nfrom datetime import *\nfrom decimal import Decimal\nfrom uuid import UUID\nimport enum,ipaddress,math\nclass C(enum.Enum):\n  A='a'\n", Some(&g), None).unwrap();
        let dec = SqlType::Decimal {
            precision: None,
            scale: None,
        };
        let dec2 = SqlType::Decimal {
            precision: Some(10),
            scale: Some(2),
        };
        let arr = |t: SqlType| SqlType::Array(Box::new(t));
        for (ty, text) in [
            (SqlType::BigInt, "2**63-1"),
            (SqlType::BigInt, "2**63"),
            (SqlType::Int, "2**31"),
            (SqlType::Real, "0.1"),
            (SqlType::Double, "0.1"),
            (SqlType::Double, "math.nan"),
            (SqlType::Real, "1e39"),
            (SqlType::Bool, "True"),
            (SqlType::Bool, "1"),
            (SqlType::Text, "'ü'"),
            (SqlType::Text, "'\\0'"),
            (SqlType::String(Some(3)), "'abcd'"),
            (SqlType::String(Some(3)), "'abc '"),
            (SqlType::String(Some(3)), "'𝔘𝔘𝔘'"),
            (SqlType::String(None), "'x'*256"),
            (dec.clone(), "Decimal('1E-31')"),
            (dec.clone(), "Decimal('1.50')"),
            (dec2.clone(), "Decimal('1.5')"),
            (dec2.clone(), "Decimal('1.555')"),
            (dec.clone(), "Decimal('1E+36')"),
            (SqlType::Timestamp, "datetime(1,1,1)"),
            (
                SqlType::TimestampTz,
                "datetime(2024,1,1,2,tzinfo=timezone(timedelta(hours=2)))",
            ),
            (SqlType::TimestampTz, "datetime(2024,1,1)"),
            (SqlType::Date, "date.max"),
            (SqlType::Time, "time.max"),
            (SqlType::Duration, "timedelta(days=-1,microseconds=5)"),
            (SqlType::Uuid, "UUID(int=5)"),
            (SqlType::Bytes, "b'\\xff'"),
            (SqlType::Json, "'{\"a\": 18446744073709551616}'"),
            (SqlType::Json, "'{\"a\": 1}'"),
            (arr(SqlType::BigInt), "[1,None,-5]"),
            (arr(SqlType::Text), "['a\"b','ü',None]"),
            (arr(dec.clone()), "[Decimal('1.50')]"),
            (arr(dec.clone()), "[Decimal('1E-31')]"),
            (arr(SqlType::Bytes), "[b'\\x00\\xff']"),
            (arr(SqlType::Timestamp), "[datetime.max]"),
            (arr(SqlType::Time), "{time.min}"),
            (arr(SqlType::Uuid), "(UUID(int=7),)"),
            (arr(SqlType::Double), "[0.1,1e22,5e-324,-0.0,1.0]"),
            (arr(SqlType::Real), "[0.1]"),
            (arr(SqlType::Bool), "[True,False]"),
            (arr(arr(SqlType::Date)), "[[date.min]]"),
            (arr(SqlType::Duration), "[timedelta(1)]"),
            (SqlType::BigInt, "None"),
        ] {
            let v = py
                .eval(&std::ffi::CString::new(text).unwrap(), Some(&g), None)
                .unwrap();
            let slot = BindSlot {
                param: 0,
                ty: ty.clone(),
                transform: Transform::None,
                verbatim: false,
                texts: false,
            };
            for stored in [true, false] {
                let mut p = Parameters::new(1);
                let r = bind::mysql(
                    &v,
                    &slot,
                    Target {
                        label: "t.c",
                        stored,
                        declared: None,
                    },
                    &mut p,
                );
                let out = match r {
                    Ok(()) => {
                        let e = p.finish(py, "MySQL").unwrap();
                        let h = e.values.clone();
                        format!(
                            "{:02x?} {:?}",
                            &h[..4.min(h.len())],
                            String::from_utf8_lossy(&h[4.min(h.len())..])
                        )
                    }
                    Err(e) => format!("{e}"),
                };
                println!("{:?} {} {} -> {}", ty, text, stored, out);
            }
        }
        println!("--- natural");
        for text in [
            "(True,5,2**64-1,-2**63,1.5,'x',b'x',bytearray(b'y'),memoryview(b'z'),Decimal('1.5'),datetime(2024,1,1,tzinfo=timezone.utc),date(2024,1,1),time(1),timedelta(1),UUID(int=1),None,C.A,[1,'a'],{'a':1},ipaddress.ip_address('::1'))",
            "(2**64,)",
            "(object(),)",
            "(math.inf,)",
            "(Decimal('NaN'),)",
            "({1,2},)",
            "('\\ud800',)",
            "(time(1,tzinfo=timezone.utc),)",
            "(['\\0'],)",
            "([2**65],)",
            "(Decimal(10)**66,)",
        ] {
            let v = py
                .eval(&std::ffi::CString::new(text).unwrap(), Some(&g), None)
                .unwrap()
                .cast_into::<pyo3::types::PyTuple>()
                .unwrap();
            match bind::natural::mysql(&v, v.len(), &[], oxyde_sql::Dialect::Mysql) {
                Ok((e, _)) => println!("{} {:?}", e.count, String::from_utf8_lossy(&e.values)),
                Err(e) => println!("{e}"),
            }
        }
        println!("--- decode");
        let all = [
            SqlType::BigInt,
            SqlType::Double,
            SqlType::Bool,
            SqlType::Text,
            dec.clone(),
            dec2.clone(),
            SqlType::Timestamp,
            SqlType::TimestampTz,
            SqlType::Date,
            SqlType::Time,
            SqlType::Duration,
            SqlType::Uuid,
            SqlType::Bytes,
            SqlType::Json,
            arr(SqlType::BigInt),
        ];
        for ((k, d, f, c, shown), field, binary) in crate::decode::mysql::tests::zoo() {
            let Some(field) = field else { continue };
            let column = Column {
                name: "v".into(),
                type_oid: k,
                modifier: d,
                binary,
                flags: f,
                charset: c,
            };
            println!("## {shown} binary={binary}");
            for w in std::iter::once(Wanted::Natural).chain(all.iter().cloned().map(Wanted::Field))
            {
                let label = format!("{w:?}");
                let dd = Decoder::new(&column, w);
                let out = match dd.decode(py, &field) {
                    Ok(v) => {
                        let mut r = format!("{}", v.repr().unwrap());
                        if r.len() > 60 {
                            r = r.chars().take(60).collect();
                        }
                        r
                    }
                    Err(crate::decode::Unreadable::Value(s)) => {
                        format!("!! {}", s.chars().take(120).collect::<String>())
                    }
                    Err(crate::decode::Unreadable::Python(e)) => format!("PYTHON {e}"),
                };
                println!("   {label}: {out}");
            }
        }
    });
}
