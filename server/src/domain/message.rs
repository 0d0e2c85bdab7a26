//! What people read when a field is refused: one text per reason, in Chinese and English. A test
//! walks the sources, so that no reason is without.

/// The text for a reason of `Invalid`, (zh-Hans, en). An unknown reason explains itself.
pub fn of(reason: &'static str) -> (&'static str, &'static str) {
    find(reason).unwrap_or((reason, reason))
}

/// The text for a reason that is in the table.
pub fn find(reason: &str) -> Option<(&'static str, &'static str)> {
    TEXTS.iter().find(|(known, ..)| *known == reason).map(|(_, zh, en)| (*zh, *en))
}

/// Reason, zh-Hans, en: what follows the name of the field. In the order of the reasons.
const TEXTS: &[(&str, &str, &str)] = &[
    (
        "ambiguous_match",
        "与多名会员或姓名不同的会员相符",
        "fits several members, or one of another name",
    ),
    ("answer_malformed", "不是有效的回答", "is not an answer to that question"),
    ("choose_city", "请选择城市代码", "is needed: choose the city"),
    ("circular", "上级联络点形成循环", "makes a circle of parents"),
    ("closed_too_long_ago", "办结已超过期限", "was closed too long ago"),
    ("closure_malformed", "不是有效的停办日期", "is not a closure"),
    (
        "code_malformed",
        "不是有效的代码",
        "is not a code: lower-case letters, digits and underscores",
    ),
    (
        "cohort_needs_number",
        "培训班须有期号，其他小组不得填写",
        "goes with a cohort, and a cohort with it",
    ),
    ("column_ignored", "未读取该列", "is a column that was not read"),
    ("column_missing", "缺少必需的列", "is a column that the file needs"),
    ("column_twice", "列名重复", "is the name of two columns"),
    ("consent_in_future", "同意时间晚于现在", "lies in the future: nobody has agreed yet"),
    ("consent_unclear", "看不出是否同意：请填“是”或“否”", "does not say yes or no"),
    ("control_character", "含有控制字符", "contains a control character"),
    ("date_invalid", "不是有效的日期", "is not a day of the calendar"),
    ("duplicate_host", "主办方重复", "is a host of this event already"),
    ("duplicate_id", "编号重复", "is the id of an earlier row"),
    ("duplicate_in_file", "与文件中前面的行重复", "is that of an earlier row of the file"),
    ("duplicate_language", "同一语言出现两次", "has two texts in one language"),
    ("duplicate_lead", "有两个牵头方", "has two leads"),
    ("duplicate_script", "同一文字的姓名出现两次", "has two names in one script"),
    ("email_malformed", "不是有效的电子邮箱", "is not an e-mail address"),
    ("empty", "是空文件", "is empty: choose the file again"),
    ("end_before_start", "结束早于开始", "ends before it begins"),
    ("event_rejected", "所属活动未通过检查", "belongs to an event whose own row was refused"),
    ("file_broken", "文件不完整或已损坏", "is broken or incomplete: save it again and send that"),
    ("handle_malformed", "不是有效的账号", "is not an account at a service"),
    ("hosted", "由上级托管，不能有自己的节点", "is hosted and has no node of its own"),
    ("hours_malformed", "不是有效的开放时间", "are not opening hours"),
    ("hours_overlap", "与另一时段重叠", "overlap with one another"),
    ("id_malformed", "不是有效的编号", "is not the id of a row"),
    ("in_future", "晚于现在", "lies in the future"),
    ("is_duplicate", "本身是重复求助", "is a double itself"),
    ("is_itself", "不能是自己", "is the point itself"),
    ("is_itself_request", "不能是同一个求助", "is this request itself"),
    ("issue_without_series", "期号与系列须同时填写", "needs both a series and a number"),
    (
        "lead_is_not_home",
        "牵头方须为活动所属联络点",
        "does not fit: the lead is the event's home, and no other",
    ),
    (
        "member_exists",
        "该人已是会员：请修改原记录，或注明是另一人",
        "is that of a member: change that one, or say that it is another person",
    ),
    ("member_rejected", "该会员未通过检查", "is a member whose own row was refused"),
    ("move_refused", "当前状态不允许此操作", "does not allow this step"),
    ("name_missing", "缺少姓名", "needs a name"),
    ("names_somebody", "不得包含联系方式", "looks like a way to reach somebody: leave it out"),
    (
        "needs_approval",
        "服务地区须由省级管理员批准，已保持原样",
        "is for a provincial administrator to change, and stays as it was",
    ),
    ("negative", "不能为负数", "is negative"),
    ("no_node_above", "上级中没有节点", "leads to no point that runs a node"),
    ("not_a_country", "不是国家或地区代码", "is not a country"),
    ("not_a_country_code", "不是国家或地区代码", "is not a country code"),
    ("not_a_host", "不是有效的主机名", "is not a host"),
    ("not_a_key", "不是有效的密钥", "is not a key"),
    ("not_a_members_account", "只有会员账号可关联会员档案", "goes with the role `member` only"),
    ("not_a_node_id", "不是有效的节点编号", "is not the id of a node"),
    ("not_a_number", "不是数字", "is not a number"),
    ("not_a_page_token", "不是有效的分页标记", "is not a page token of this list"),
    ("not_a_point_code", "不是有效的联络点代码", "is not a point code"),
    ("not_a_public_host", "不是公开的主机名", "is not a public host"),
    ("not_a_time", "不是有效的时间", "is not a time"),
    ("not_a_user_name", "不是有效的用户名", "is not a user name"),
    ("not_an_epoch", "不是有效的纪元编号", "is not an epoch as `yizhand recover` prints it"),
    ("not_an_id", "不是有效的编号", "is not an id"),
    ("not_decodable", "无法解码", "cannot be decoded"),
    ("not_in_country", "不在所填的国家或地区内", "does not lie in that country"),
    ("not_permitted", "没有权限", "is not for this account to bring in"),
    ("not_rising", "未按顺序递增", "does not rise"),
    ("not_utf8", "不是 UTF-8 编码", "is not UTF-8"),
    ("ok", "已接受", "went in"),
    ("ok_city_normalised", "已改写为规范的城市名", "was read as the full name of the place"),
    ("ok_date_normalised", "已改写为规范的日期", "was read as a day"),
    ("ok_existing", "更新了已有会员", "brought a known member up to date"),
    (
        "ok_name_flagged",
        "含有不可见字符或形似公式，已原样保留",
        "holds what cannot be seen or looks like a formula, and was kept",
    ),
    ("ok_name_normalised", "已去掉姓名中的空格", "was read without the blanks"),
    ("ok_phone_normalised", "已改写为国际格式的电话号码", "was read as an international number"),
    (
        "ok_without_consent",
        "未同意，仅归属联络点可见",
        "is not agreed to: only the home sees the member",
    ),
    ("out_of_range", "超出范围", "is out of range"),
    ("own_code", "不能是自己的代码", "is the point's own code"),
    (
        "paper_needs_a_point",
        "纸质同意须注明证明的联络点，其他方式不得填写",
        "goes with paper, and paper with it",
    ),
    ("phone_malformed", "不是有效的电话号码", "is not a phone number"),
    ("place_is_over", "该成员已退出", "is the place of somebody who has stood down"),
    ("pledged_beyond_need", "承诺数量超过所需", "pledges more than is needed"),
    ("preferred_name_missing", "缺少首选文字的姓名", "is a script that the person has no name in"),
    ("quote_malformed", "引号位置不对", "has a quotation mark where none may be"),
    ("quote_not_closed", "引号没有闭合", "has a quotation mark that is not closed"),
    ("received_beyond_sent", "收到数量超过发出", "receives more than was sent"),
    ("reference_malformed", "不是有效的求助编号", "is not a reference"),
    ("reference_mistyped", "求助编号有误，请核对", "is mistyped: check the reference"),
    ("region_not_prefecture", "须精确到地级市", "has to be a prefecture, not a province"),
    ("required", "必填", "is required"),
    ("row_too_long", "该行过长", "is a row that is too long"),
    ("same_password", "与原密码相同", "is the one that you have"),
    ("scope_malformed", "不是有效的范围", "is not what a consent can be limited to"),
    ("sent_beyond_pledge", "发出数量超过承诺", "sends more than is pledged"),
    ("series_code_malformed", "不是有效的系列代码", "is not the code of a series"),
    (
        "short_name_malformed",
        "不是有效的简称",
        "is not a short name: two to five capitals or digits",
    ),
    (
        "sort_key_malformed",
        "不是有效的排序键",
        "is not a sort key: lower-case letters, digits, blanks",
    ),
    ("state_of_another_role", "不适用于该角色", "does not go with the role"),
    ("supply_malformed", "不是有效的物资行", "is not a line of supplies"),
    ("table_out_of_order", "文件顺序不对", "comes too late: later tables were read already"),
    ("taken", "已被占用", "is taken"),
    ("takes_no_requests", "现在不受理求助", "takes no requests now"),
    ("text_version_malformed", "不是有效的文本版本", "is not the version of a consent text"),
    ("time_out_of_range", "时间超出范围", "lies too far away"),
    ("too_deep", "层级过深", "lies too deep"),
    ("too_few_cells", "单元格少于表头", "has fewer cells than the header"),
    ("too_large", "数值过大", "is too large"),
    ("too_long", "过长", "is too long"),
    ("too_many", "过多", "has too many"),
    ("too_many_cells", "单元格多于表头", "has more cells than the header"),
    ("too_many_points", "联络点过多", "is one point too many"),
    ("too_short", "过短", "is too short"),
    ("twice", "出现两次", "comes twice"),
    (
        "two_persons_needed",
        "删除会员须由两人办理",
        "is that of somebody who is here: erasing takes two persons",
    ),
    ("type_mismatch", "内容与文件名不符", "is not what its name says"),
    ("type_not_allowed", "不接受此类文件", "is of a kind that is not taken"),
    ("unknown_access_purpose", "未知的查阅目的", "is not a purpose of looking at records"),
    ("unknown_appearance_state", "未知的演讲状态", "is not a state of an appearance"),
    ("unknown_approval_state", "未知的审批状态", "is not a state of an approval"),
    ("unknown_audience", "未知的可见范围", "is not an audience"),
    ("unknown_availability", "未知的可用时间", "is not an availability"),
    ("unknown_basis", "未知的传送依据", "is not a basis"),
    ("unknown_channel", "未知的途径", "is not a way to give consent"),
    ("unknown_clock", "未知的时限", "is not a clock"),
    ("unknown_code", "未知的代码", "is not a known code"),
    ("unknown_cohort", "没有这一期培训班", "is the number of no cohort"),
    ("unknown_country", "未知的国家或地区", "is not a country that is known"),
    ("unknown_degree", "未知的学位等级", "is not a degree: 6, 7 or 8"),
    ("unknown_erasure_state", "未知的删除状态", "is not a state of an erasure"),
    ("unknown_event", "没有这个活动", "is no event of the files"),
    ("unknown_event_kind", "未知的活动类型", "is not a kind of event"),
    ("unknown_event_state", "未知的活动状态", "is not a state of an event"),
    ("unknown_export_kind", "不能导出该类型", "is not a kind that can be taken out"),
    ("unknown_fact", "未知的通知类型", "is not a kind of notice"),
    ("unknown_field_group", "未知的学科门类", "is not a group of fields"),
    ("unknown_field_of_study", "未知的学科代码", "is not a field of ISCED-F"),
    ("unknown_file", "没有这个文件，请重新上传", "is no file that waits here: upload it again"),
    ("unknown_grant", "没有这项同意", "is no consent of the member"),
    ("unknown_grant_state", "未知的同意状态", "is not a state of a consent"),
    ("unknown_group", "没有这个小组", "is no group"),
    ("unknown_group_kind", "未知的小组类型", "is not a kind of group"),
    ("unknown_group_state", "未知的小组状态", "is not a state of a group"),
    ("unknown_handler", "不是可以受理的账号", "is no account that can handle it"),
    ("unknown_handoff_state", "未知的转交状态", "is not a state of a handoff"),
    ("unknown_help_category", "未知的求助类别", "is not a category of help"),
    ("unknown_help_state", "未知的求助状态", "is not a state of a help request"),
    ("unknown_host_role", "未知的主办角色", "is not a part in hosting"),
    ("unknown_host_state", "未知的主办状态", "is not a state of an invitation"),
    ("unknown_identity_check", "未知的身份核实方式", "is not a way to check who asks"),
    ("unknown_kind", "未知的记录类型", "is not a kind that this version knows"),
    ("unknown_language", "未知的语言", "is not a language tag in use"),
    ("unknown_media_type", "未知的文件类型", "is not a kind of file that is taken"),
    ("unknown_member", "没有这个会员", "is nobody's id"),
    ("unknown_member_state", "未知的会员状态", "is not a state of a member"),
    ("unknown_mode", "未知的参加方式", "is not a way to take part"),
    ("unknown_move_state", "未知的迁移状态", "is not a state of a move"),
    ("unknown_name_order", "未知的姓名顺序", "is not an order of names"),
    ("unknown_notice_channel", "未知的通知方式", "is not a way to be told"),
    ("unknown_org", "没有这个机构", "is no organisation"),
    ("unknown_org_type", "未知的机构类型", "is not a type of organisation"),
    ("unknown_place", "不是该小组的成员", "is no place in this group"),
    ("unknown_place_role", "未知的小组角色", "is not a part in a group"),
    ("unknown_place_state", "未知的成员状态", "is not a state of a place in a group"),
    ("unknown_point", "没有这个联络点", "is no point of this network"),
    ("unknown_point_kind", "未知的联络点类型", "is not a kind of point"),
    ("unknown_point_state", "未知的联络点状态", "is not a state of a point"),
    ("unknown_purpose", "未知的同意目的", "is not a purpose of consent"),
    ("unknown_question", "没有这个问题", "is not a question of the category"),
    ("unknown_region_code", "未知的地区代码", "is not a region code"),
    ("unknown_region_name", "未知的城市名", "is not the name of one place"),
    ("unknown_report", "没有这个报告", "is not a report"),
    ("unknown_request", "没有这个求助", "is no request of this point"),
    ("unknown_role", "未知的角色", "is not a role"),
    ("unknown_script", "未知的文字", "is not a script"),
    ("unknown_seat_state", "未知的任职状态", "is not a state of a public office"),
    ("unknown_sector", "未知的行业门类", "is not a section of ISIC"),
    ("unknown_series", "没有这个系列", "is no series"),
    ("unknown_series_state", "未知的系列状态", "is not a state of a series"),
    ("unknown_speaker_source", "未知的推荐来源", "is not where a nomination comes from"),
    ("unknown_speaker_state", "未知的讲者状态", "is not a state of a speaker"),
    ("unknown_table", "不是可导入的文件", "is not a table that can be imported"),
    ("unknown_time_zone", "未知的时区", "is not an IANA time zone"),
    ("unknown_transfer_state", "未知的传送状态", "is not a state of a copy"),
    ("unknown_urgency", "未知的紧急程度", "is not an urgency"),
    ("url_malformed", "不是有效的网址", "is not a link"),
    ("used_before", "已被使用过", "was used before"),
    (
        "web_is_the_persons_own",
        "网上同意只能由本人作出：代为登记请用 desk 或 paper",
        "is for the person alone: record what was said at the desk or signed on paper",
    ),
    (
        "webhook_host_not_allowed",
        "不在运维人员允许的主机之列",
        "names a host that the operator does not allow",
    ),
    ("webhook_malformed", "不是有效的 https 地址", "is not an https address"),
    (
        "withdrawn_lately",
        "本人撤回未满三十天，不得再次征求",
        "was withdrawn less than 30 days ago: nobody asks again so soon",
    ),
    ("withdrawn_since", "本人其后已撤回同意", "was taken back by the person since"),
    ("without_node", "没有节点", "has no node"),
    ("wrong_code", "验证码不正确", "is not a code of now"),
    ("wrong_length", "长度不对", "has the wrong length"),
    ("wrong_password", "密码不正确", "is not the current password"),
    ("year_out_of_range", "年份超出范围", "is a year out of range"),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// What makes a complaint in the sources, and which of its arguments is the reason.
    const MAKERS: [(&str, usize); 7] = [
        ("Invalid::new(", 1),
        ("wrong(", 1),
        ("invalid(", 0),
        ("Bad(", 0),
        ("bad(", 0),
        ("unfinished(", 2),
        ("named! {", 1),
    ];

    #[test]
    fn every_reason_of_the_sources_has_its_texts() {
        let mut reasons = BTreeSet::new();
        collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut reasons);
        assert!(reasons.contains("phone_malformed") && reasons.contains("unknown_mode"));
        let missing: Vec<_> = reasons.iter().filter(|reason| find(reason).is_none()).collect();
        assert!(missing.is_empty(), "no text in domain/message.rs for {missing:?}");
    }

    #[test]
    fn the_table_is_in_order_and_speaks_both_languages() {
        assert!(TEXTS.is_sorted_by(|a, b| a.0 < b.0));
        for (reason, zh, en) in TEXTS {
            assert!(!zh.is_ascii() && !en.is_empty() && en.is_ascii(), "{reason}");
        }
    }

    fn collect(folder: &Path, reasons: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, reasons);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                for (maker, argument) in MAKERS {
                    for (at, _) in code.match_indices(maker) {
                        reasons.extend(literal(&code[at + maker.len()..], argument));
                    }
                }
            }
        }
    }

    /// The argument of that number, if it is a plain reason.
    fn literal(arguments: &str, number: usize) -> Option<String> {
        let mut depth = 0;
        let mut from = 0;
        let mut seen = 0;
        for (at, c) in arguments.char_indices() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth > 0 => depth -= 1,
                ',' | ';' | ')' if depth == 0 => {
                    if seen == number {
                        return reason(&arguments[from..at]);
                    }
                    if c == ')' || c == ';' {
                        return None;
                    }
                    seen += 1;
                    from = at + 1;
                }
                _ => (),
            }
        }
        None
    }

    fn reason(argument: &str) -> Option<String> {
        let text = argument.trim().strip_prefix('"')?.strip_suffix('"')?;
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
        (plain && !text.is_empty()).then(|| text.to_owned())
    }
}
