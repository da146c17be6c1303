//! Parameters of raw SQL: no column says what they are. On SQLite and MySQL the Python type decides; PostgreSQL infers
//! what it expects, and a value of another type is refused, as a column would refuse it.

use std::collections::HashSet;

use oxyde_exec::cells::Cells;
use oxyde_exec::query::{Column, Encoded, Formats};
use oxyde_sql::{Dialect, SqlType, Transform};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyMemoryView, PyString, PyTuple,
};

use super::parameters::Parameters;
use super::{
    Target, array, boolean, bytes, date, decimal, duration, float, integer, json, plain, text,
    time, timestamp, uuid, wire,
};
use crate::decode::mysql::kind;
use crate::decode::postgres::oid;
use crate::errors;
use crate::layout;

pub fn sqlite(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Cells) -> PyResult<()> {
    let py = value.py();
    if value.is_none() {
        out.push_null();
        Ok(())
    } else if value.is_instance_of::<PyBool>() {
        boolean::sqlite(value, target, out)
    } else if value.is_instance_of::<PyInt>() {
        integer::sqlite(value, i64::MIN, i64::MAX, target, out)
    } else if value.is_instance_of::<PyFloat>() {
        float::sqlite(value, target, out)
    } else if value.is_instance_of::<PyString>() {
        text::sqlite(value, Transform::None, target, out)
    } else if value.is_instance_of::<PyBytes>() {
        bytes::sqlite(value, target, out)
    } else if layout::is_datetime(value) {
        timestamp::sqlite(value, false, target, out)
    } else if layout::is_date(value) {
        date::sqlite(value, target, out)
    } else if layout::is_time(value) {
        time::sqlite(value, target, out)
    } else if layout::is_timedelta(value) {
        duration::sqlite(value, target, out)
    } else if value.is_instance(layout::decimal_type(py)?)? {
        decimal::sqlite(value, None, None, target, out)
    } else if value.is_instance(layout::uuid_type(py)?)? {
        uuid::sqlite(value, target, out)
    } else if layout::is_member(value) {
        sqlite(&plain_value(value)?, target, out)
    } else {
        Err(target.wrong_type(
            value,
            "None, bool, int, float, str, bytes, Decimal, UUID, datetime, date, time or timedelta",
        ))
    }
}

/// The parameters of raw SQL for PostgreSQL, by the types that the server expects; and in which format it is to send
/// each column of the rows.
pub fn postgres(
    params: &Bound<'_, PyTuple>,
    oids: &[u32],
    columns: &[Column],
) -> PyResult<(Encoded, Formats)> {
    let py = params.py();
    fits(py, params.len(), oids.len(), columns)?;
    let mut values = Vec::new();
    let mut binary = Vec::with_capacity(oids.len());
    for (index, (value, oid)) in params.iter().zip(oids).enumerate() {
        let label = format!(
            "parameter {}, which the server takes as {}",
            index + 1,
            oid::name(*oid)
        );
        let target = Target {
            label: &label,
            stored: false,
            declared: None,
        };
        let value = if layout::is_member(&value) {
            plain_value(&value)?
        } else {
            value
        };
        if value.is_none() {
            wire::null(&mut values);
            binary.push(false);
            continue;
        }
        let form = form(value.is_instance_of::<PyString>(), *oid);
        wire::framed(py, target, &mut values, |out| {
            scalar(&value, *oid, form, target, out)
        })?;
        binary.push(form == Form::Binary);
    }
    let results = columns
        .iter()
        .map(|column| oid::natural_in_binary(column.type_oid))
        .collect();
    let encoded = super::encoded(
        py,
        "PostgreSQL",
        oids.len(),
        Formats::Each(binary.into()),
        values,
    )?;
    Ok((encoded, Formats::Each(results)))
}

/// The parameters of raw SQL for MySQL or MariaDB, which only say how many they expect.
pub fn mysql(params: &Bound<'_, PyTuple>, server: Dialect) -> PyResult<Encoded> {
    let py = params.py();
    let mut out = Parameters::new(params.len());
    for (index, value) in params.iter().enumerate() {
        let label = format!("parameter {}", index + 1);
        let target = Target {
            label: &label,
            stored: false,
            declared: None,
        };
        mysql_value(&value, target, &mut out)?;
    }
    out.finish(py, server.name())
}

/// Whether the statement has such parameters, and a result without two columns of the same name.
pub fn fits(py: Python<'_>, given: usize, expected: usize, columns: &[Column]) -> PyResult<()> {
    distinct(py, columns)?;
    if given == expected {
        return Ok(());
    }
    Err(errors::programming(
        py,
        &format!("the statement has {expected} parameters, {given} were given"),
    ))
}

/// A `timedelta` is what a field of that type stores, and no TIME.
fn mysql_value(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Parameters) -> PyResult<()> {
    let py = value.py();
    if value.is_none() {
        out.null(kind::NULL);
        Ok(())
    } else if value.is_instance_of::<PyBool>() {
        boolean::mysql(value, target, out)
    } else if value.is_instance_of::<PyInt>() {
        match value.extract::<u64>() {
            Ok(number) if i64::try_from(number).is_err() => {
                out.unsigned(number);
                Ok(())
            }
            _ => integer::mysql(value, i64::MIN, i64::MAX, target, out),
        }
    } else if value.is_instance_of::<PyFloat>() {
        float::mysql(value, target, out)
    } else if value.is_instance_of::<PyString>() {
        text::mysql(value, Transform::None, None, target, out)
    } else if value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>()
    {
        bytes::mysql(value, target, out)
    } else if layout::is_datetime(value) {
        timestamp::mysql(value, false, target, out)
    } else if layout::is_date(value) {
        date::mysql(value, target, out)
    } else if layout::is_time(value) {
        time::mysql(value, target, out)
    } else if layout::is_timedelta(value) {
        duration::mysql(value, target, out)
    } else if value.is_instance(layout::decimal_type(py)?)? {
        decimal::mysql(value, None, None, target, out)
    } else if value.is_instance(layout::uuid_type(py)?)? {
        uuid::mysql(value, target, out)
    } else if value.is_instance_of::<PyDict>() || array::is_list(value) {
        json::mysql(&dumped(value, target)?, target, out)
    } else if is_address(value)? {
        text::mysql(value.str()?.as_any(), Transform::None, None, target, out)
    } else if layout::is_member(value) {
        mysql_value(&plain_value(value)?, target, out)
    } else {
        Err(target.wrong_type(
            value,
            "None, bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta, dict or list",
        ))
    }
}

/// What a field stores of a member of an enum.
fn plain_value<'py>(member: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    member.getattr(intern!(member.py(), "value"))
}

/// Rows become dicts, in which one of two columns of the same name would be lost.
pub fn distinct(py: Python<'_>, columns: &[Column]) -> PyResult<()> {
    let mut seen = HashSet::new();
    match columns.iter().find(|column| !seen.insert(&column.name)) {
        None => Ok(()),
        Some(column) => Err(errors::programming(
            py,
            &format!(
                "two columns of the result are called {:?}: give them names with AS",
                column.name
            ),
        )),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Text,
}

/// A text is sent as one where the server has no numbers or bytes to read from it: it may be meant for a cast
/// (`$1::inet`), and the server checks it. JSON is text, and so is what only the server knows.
fn form(text: bool, oid: u32) -> Form {
    match oid {
        oid::BOOL
        | oid::INT2
        | oid::INT4
        | oid::INT8
        | oid::OID
        | oid::FLOAT4
        | oid::FLOAT8
        | oid::NUMERIC
        | oid::BYTEA => Form::Binary,
        oid::UUID | oid::DATE | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::INTERVAL
            if !text =>
        {
            Form::Binary
        }
        other => match oid::element(other) {
            Some(item) if !text && (oid::is_text(item) || form(false, item) == Form::Binary) => {
                Form::Binary
            }
            _ => Form::Text,
        },
    }
}

/// Appends a value without its length.
fn scalar(
    value: &Bound<'_, PyAny>,
    oid: u32,
    form: Form,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    match oid {
        oid::BOOL => boolean::postgres(value, target, out),
        oid::INT2 => integer::small(value, target, out),
        oid::INT4 => integer::normal(value, target, out),
        // A column of timedelta holds microseconds.
        oid::INT8 if layout::is_timedelta(value) => duration::postgres(value, target, out),
        oid::INT8 => integer::big(value, target, out),
        oid::OID => {
            let number = integer::checked(value, 0, u32::MAX.into(), target)?;
            let number = u32::try_from(number).unwrap_or_default();
            out.extend_from_slice(&number.to_be_bytes());
            Ok(())
        }
        oid::FLOAT4 => float::single(value, target, out),
        oid::FLOAT8 => float::postgres(value, target, out),
        oid::NUMERIC => numeric(value, target, out),
        oid::BYTEA => bytes::postgres(value, target, out),
        oid::JSON | oid::JSONB => json_text(value, target, out),
        _ if oid::is_text(oid) || oid == oid::CHAR => {
            if !value.is_instance_of::<PyString>() {
                return Err(target.wrong_type(value, "str; else cast it, as in $1::bigint"));
            }
            text::postgres(value, Transform::None, None, target, out)
        }
        _ if form == Form::Text => untyped(value, oid, target, out),
        oid::UUID => uuid::postgres(value, target, out),
        oid::DATE => date::postgres(value, target, out),
        oid::TIME => time::postgres(value, target, out),
        oid::TIMESTAMP => timestamp::postgres(value, false, target, out),
        oid::TIMESTAMPTZ => timestamp::postgres(value, true, target, out),
        oid::INTERVAL => duration::interval(value, target, out),
        other => {
            let item = oid::element(other).unwrap_or_default();
            let depth = depth(value)?;
            array::binary(value, item, depth, target, out, &mut |element, out| {
                if element.is_none() {
                    wire::null(out);
                    return Ok(());
                }
                wire::framed(element.py(), target, out, |out| {
                    scalar(element, item, Form::Binary, target, out)
                })
            })
        }
    }
}

/// How many lists are inside each other, by the first items.
fn depth(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let mut depth = 1;
    let mut list = value.clone();
    // PostgreSQL has no more dimensions; what is deeper is refused as an item.
    while depth < 6 && array::is_list(&list) {
        match list.try_iter()?.next().transpose()? {
            Some(first) if array::is_list(&first) => {
                depth += 1;
                list = first;
            }
            _ => break,
        }
    }
    Ok(depth)
}

/// A float is the number that its shortest text says.
fn numeric(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let Ok(float) = value.cast::<PyFloat>() else {
        return decimal::postgres(value, None, None, target, out);
    };
    let text = plain::number(float.value());
    decimal::canonical(&text, None, None, false)
        .and_then(|text| decimal::write_numeric(&text, out).map_err(str::to_owned))
        .map_err(|why| target.refuse(value.py(), &why))
}

/// A str is JSON already; everything else that JSON knows is written as such.
fn json_text(value: &Bound<'_, PyAny>, target: Target<'_>, out: &mut Vec<u8>) -> PyResult<()> {
    let written;
    let text = if value.is_instance_of::<PyString>() {
        value
    } else {
        written = dumped(value, target)?;
        &written
    };
    out.extend_from_slice(json::floats(json::checked(text, target)?).as_bytes());
    Ok(())
}

/// The JSON document that a value is.
fn dumped<'py>(value: &Bound<'py, PyAny>, target: Target<'_>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let kwargs = PyDict::new(py);
    kwargs.set_item("ensure_ascii", false)?;
    kwargs.set_item("allow_nan", false)?;
    let dumps = py.import("json")?.getattr("dumps")?;
    dumps.call((value,), Some(&kwargs)).map_err(|error| {
        if error.is_instance_of::<PyException>(py) {
            target.refuse(py, &format!("the value cannot be written as JSON: {error}"))
        } else {
            error
        }
    })
}

/// Any value as the text that the server would write for it.
fn untyped(
    value: &Bound<'_, PyAny>,
    oid: u32,
    target: Target<'_>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let py = value.py();
    if value.is_instance_of::<PyString>() {
        return text::postgres(value, Transform::None, None, target, out);
    }
    if value.is_instance_of::<PyDict>() {
        return json_text(value, target, out);
    }
    if array::is_list(value) {
        let item = oid::element(oid).unwrap_or_default();
        return array::braces(value, target, out, &mut |element, out| {
            let json = matches!(item, oid::JSON | oid::JSONB);
            if !json && array::is_list(element) {
                return untyped(element, oid, target, out);
            }
            let mut one = Vec::new();
            if json {
                json_text(element, target, &mut one)?;
            } else {
                untyped(element, item, target, &mut one)?;
            }
            array::quote(&one, out);
            Ok(())
        });
    }
    let ty = if value.is_instance_of::<PyBool>() {
        SqlType::Bool
    } else if value.is_instance_of::<PyInt>() {
        SqlType::BigInt
    } else if value.is_instance_of::<PyFloat>() {
        SqlType::Double
    } else if value.is_instance_of::<PyBytes>() {
        SqlType::Bytes
    } else if layout::is_datetime(value) || layout::is_time(value) {
        // With the zone, if it has one.
        let text = value.call_method0(intern!(py, "isoformat"))?;
        return text::postgres(&text, Transform::None, None, target, out);
    } else if layout::is_date(value) {
        SqlType::Date
    } else if layout::is_timedelta(value) {
        let text = duration::text(value, target)?;
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    } else if value.is_instance(layout::decimal_type(py)?)? {
        SqlType::Decimal {
            precision: None,
            scale: None,
        }
    } else if value.is_instance(layout::uuid_type(py)?)? {
        SqlType::Uuid
    } else if is_address(value)? {
        return text::postgres(value.str()?.as_any(), Transform::None, None, target, out);
    } else {
        return Err(target.wrong_type(value, "a value that has a form in SQL"));
    };
    plain::postgres(value, &ty, Transform::None, target, out)
}

/// Addresses and networks of `ipaddress`, for inet and cidr.
fn is_address(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let module = value.get_type().module()?;
    Ok(module.to_str()? == "ipaddress")
}
