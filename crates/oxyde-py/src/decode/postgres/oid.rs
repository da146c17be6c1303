//! The base types of PostgreSQL by number, which no server changes.

/// Name, constant, OID, OID of the array; then the same without a constant.
macro_rules! types {
    ($($name:literal $constant:ident $oid:literal $array:literal;)* =>
     $($other:literal $other_oid:literal $other_array:literal;)*) => {
        $(pub const $constant: u32 = $oid;)*

        /// What the type of this number is called.
        pub fn name(oid: u32) -> String {
            match oid {
                $($oid => $name.to_owned(),)*
                $($array => concat!($name, "[]").to_owned(),)*
                $($other_oid => $other.to_owned(),)*
                $($other_array => concat!($other, "[]").to_owned(),)*
                22 => "int2vector".to_owned(),
                30 => "oidvector".to_owned(),
                2249 => "record".to_owned(),
                unknown => format!("OID {unknown}"),
            }
        }

        /// The type of the items, if it is an array.
        pub fn element(oid: u32) -> Option<u32> {
            match oid {
                $($array => Some($oid),)*
                $($other_array => Some($other_oid),)*
                22 => Some(INT2),
                30 => Some(OID),
                _ => None,
            }
        }
    };
}

types! {
    "boolean" BOOL 16 1000;
    "bytea" BYTEA 17 1001;
    "\"char\"" CHAR 18 1002;
    "name" NAME 19 1003;
    "bigint" INT8 20 1016;
    "smallint" INT2 21 1005;
    "integer" INT4 23 1007;
    "text" TEXT 25 1009;
    "oid" OID 26 1028;
    "json" JSON 114 199;
    "xml" XML 142 143;
    "real" FLOAT4 700 1021;
    "double precision" FLOAT8 701 1022;
    "character" BPCHAR 1042 1014;
    "character varying" VARCHAR 1043 1015;
    "date" DATE 1082 1182;
    "time" TIME 1083 1183;
    "timestamp" TIMESTAMP 1114 1115;
    "timestamp with time zone" TIMESTAMPTZ 1184 1185;
    "interval" INTERVAL 1186 1187;
    "time with time zone" TIMETZ 1266 1270;
    "numeric" NUMERIC 1700 1231;
    "uuid" UUID 2950 2951;
    "jsonb" JSONB 3802 3807;
    =>
    "point" 600 1017;
    "lseg" 601 1018;
    "path" 602 1019;
    "box" 603 1020;
    "polygon" 604 1027;
    "line" 628 629;
    "cidr" 650 651;
    "circle" 718 719;
    "macaddr8" 774 775;
    "money" 790 791;
    "macaddr" 829 1040;
    "inet" 869 1041;
    "bit" 1560 1561;
    "bit varying" 1562 1563;
    "tsvector" 3614 3643;
    "tsquery" 3615 3645;
    "int4range" 3904 3905;
    "numrange" 3906 3907;
    "tsrange" 3908 3909;
    "tstzrange" 3910 3911;
    "daterange" 3912 3913;
    "int8range" 3926 3927;
    "jsonpath" 4072 4073;
}

/// Whether values of the type are read in binary where nothing but the type is known. All others come as text.
pub fn natural_in_binary(oid: u32) -> bool {
    let scalar = element(oid).unwrap_or(oid);
    matches!(
        scalar,
        BOOL | BYTEA
            | INT8
            | INT2
            | INT4
            | OID
            | JSON
            | FLOAT4
            | FLOAT8
            | DATE
            | TIME
            | TIMESTAMP
            | TIMESTAMPTZ
            | INTERVAL
            | TIMETZ
            | NUMERIC
            | UUID
            | JSONB
    )
}

/// Types of extensions and of users have numbers from here on.
pub const FIRST_FOREIGN: u32 = 16_384;

/// Whether the binary form is the text itself.
pub fn is_text(oid: u32) -> bool {
    matches!(oid, TEXT | VARCHAR | BPCHAR | NAME | XML | UNKNOWN)
}

/// A literal whose type was never settled.
const UNKNOWN: u32 = 705;
