//! What people read when a field is refused: one text per reason, in Chinese and English.

/// The text for a reason of `Invalid`, (zh-Hans, en). An unknown reason explains itself.
pub fn of(reason: &'static str) -> (&'static str, &'static str) {
    match reason {
        "required" => ("必填", "is required"),
        "too_long" => ("过长", "is too long"),
        "too_short" => ("过短", "is too short"),
        "control_character" => ("含有控制字符", "contains a control character"),
        "not_an_id" => ("不是有效的编号", "is not an id"),
        "not_a_time" => ("不是有效的时间", "is not a time"),
        "not_a_point_code" => ("不是有效的联络点代码", "is not a point code"),
        "not_a_user_name" => ("不是有效的用户名", "is not a user name"),
        "unknown_role" => ("未知的角色", "is not a role"),
        "wrong_password" => ("密码不正确", "is not the current password"),
        "not_a_page_token" => ("不是有效的分页标记", "is not a page token of this list"),
        "negative" => ("不能为负数", "is negative"),
        other => (other, other),
    }
}
