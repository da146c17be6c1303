//! Operators, each with the tag that names it in shapes.

/// Declares an enum of operators whose variants have one tag each.
macro_rules! tagged {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $tag:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The tag in shapes.
            #[must_use]
            pub fn tag(self) -> &'static str {
                match self { $(Self::$variant => $tag,)+ }
            }

            /// The operator of a tag.
            #[must_use]
            pub fn parse(tag: &str) -> Option<Self> {
                match tag { $($tag => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

tagged! {
    /// Comparisons.
    CompareOp {
        /// `=`
        Eq = "eq",
        /// `<>`; a NULL is not unequal to anything
        Ne = "ne",
        /// `<`
        Lt = "lt",
        /// `<=`
        Lte = "lte",
        /// `>`
        Gt = "gt",
        /// `>=`
        Gte = "gte",
    }
}

tagged! {
    /// String searches: case-sensitive on every database, except the `i` twins.
    /// All but the last four take their right side literally.
    MatchOp {
        /// The right side occurs somewhere.
        Contains = "contains",
        /// The same, ignoring case.
        IContains = "icontains",
        /// The text begins with the right side.
        StartsWith = "startswith",
        /// The same, ignoring case.
        IStartsWith = "istartswith",
        /// The text ends with the right side.
        EndsWith = "endswith",
        /// The same, ignoring case.
        IEndsWith = "iendswith",
        /// Equal, ignoring case.
        IExact = "iexact",
        /// A pattern with `%` and `_`, escaped by `\`.
        Like = "like",
        /// The same, ignoring case.
        ILike = "ilike",
        /// A regular expression of the database's own dialect.
        Regex = "regex",
        /// The same, ignoring case.
        IRegex = "iregex",
    }
}

impl MatchOp {
    /// Whether case is ignored.
    #[must_use]
    pub fn ignores_case(self) -> bool {
        matches!(
            self,
            Self::IContains
                | Self::IStartsWith
                | Self::IEndsWith
                | Self::IExact
                | Self::ILike
                | Self::IRegex
        )
    }
}

tagged! {
    /// Comparisons of the members of two arrays; NULL is a member of none.
    ArrayOp {
        /// All members of the right side are members of the left one.
        Contains = "contains",
        /// The other way round.
        ContainedBy = "contained_by",
        /// There is a common member.
        Overlap = "overlap",
    }
}

tagged! {
    /// Arithmetic, with the meaning of Python's operators for the same type.
    ArithOp {
        /// `+`
        Add = "add",
        /// `-`
        Sub = "sub",
        /// `*`
        Mul = "mul",
        /// `/`: never an integer division
        Div = "div",
        /// `//`: rounds down (decimals: towards zero, as Python's `Decimal` does)
        FloorDiv = "floordiv",
        /// `%`: the sign of the divisor (decimals: of the dividend)
        Mod = "mod",
        /// `**`
        Pow = "pow",
    }
}

tagged! {
    /// Functions.
    Func {
        /// Lower case of all of Unicode.
        Lower = "lower",
        /// Upper case of all of Unicode.
        Upper = "upper",
        /// Number of characters; of bytes for a byte string.
        Length = "length",
        /// The first argument that is not NULL.
        Coalesce = "coalesce",
        /// Magnitude.
        Abs = "abs",
        /// The arguments' texts in a row; NULL if one is.
        Concat = "concat",
        /// Without spaces at both ends.
        Trim = "trim",
        /// Each occurrence of the second argument exchanged for the third.
        Replace = "replace",
        /// The number of rows (`*`) or of values that are not NULL.
        Count = "count",
        /// The current time.
        Now = "now",
    }
}

tagged! {
    /// Where NULLs are sorted.
    Nulls {
        /// Before all values.
        First = "first",
        /// After all values.
        Last = "last",
    }
}

tagged! {
    /// What a locked row is protected against.
    LockStrength {
        /// Changes and other locks.
        Update = "update",
        /// The same, but others may refer to the key.
        NoKeyUpdate = "no_key_update",
        /// Changes.
        Share = "share",
        /// Changes of the key.
        KeyShare = "key_share",
    }
}

tagged! {
    /// What to do about a row that somebody else has locked.
    LockWait {
        /// Wait for it.
        Block = "block",
        /// Fail at once.
        NoWait = "nowait",
        /// Leave the row out.
        SkipLocked = "skip_locked",
    }
}

/// Locks on the rows read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Strength.
    pub strength: LockStrength,
    /// Waiting.
    pub wait: LockWait,
}

impl Lock {
    /// Reads the lock of a shape: `"update"`, `"share:nowait"`,
    /// `"no_key_update:skip_locked"` and so on. `Ok(None)` for `""`.
    ///
    /// # Errors
    /// The part that is unknown.
    pub fn parse(tag: &str) -> Result<Option<Self>, String> {
        if tag.is_empty() {
            return Ok(None);
        }
        let (strength, wait) = tag.split_once(':').unwrap_or((tag, "block"));
        Ok(Some(Self {
            strength: LockStrength::parse(strength)
                .ok_or_else(|| format!("unknown lock {strength:?}"))?,
            wait: LockWait::parse(wait).ok_or_else(|| format!("unknown lock wait {wait:?}"))?,
        }))
    }
}
