//! What people ask for, and what is asked first in each case.

use super::{
    calendar,
    code::named,
    text::{self, Invalid},
};

/// Longest answer to a question, in characters.
pub const ANSWER_MAX: usize = 1_000;
/// Largest number that answers a question.
pub const NUMBER_MAX: u32 = 1_000_000;

named! {
    /// A sort of help.
    HelpCategory, "unknown_help_category";
    MedicalAdvice = 1 "medical_advice",
    Supplies = 2 "supplies",
    Documents = 3 "documents",
    Study = 4 "study",
    Housing = 5 "housing",
    Legal = 6 "legal",
    ReturnJob = 7 "return_job",
    Wellbeing = 8 "wellbeing",
}

/// What may be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Text,
    YesNo,
    Number,
    Date,
    Choice(&'static [&'static str]),
}

/// A question of a category: code, zh-Hans, zh-Hant, en.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    pub code: &'static str,
    pub texts: [&'static str; 3],
    pub answer: Answer,
}

const fn ask(code: &'static str, texts: [&'static str; 3], answer: Answer) -> Question {
    Question { code, texts, answer }
}

impl HelpCategory {
    /// zh-Hans, zh-Hant, en.
    pub fn names(self) -> [&'static str; 3] {
        match self {
            HelpCategory::MedicalAdvice => ["就医咨询", "就醫諮詢", "Medical advice"],
            HelpCategory::Supplies => ["物资", "物資", "Supplies"],
            HelpCategory::Documents => ["证件与文书", "證件與文書", "Documents"],
            HelpCategory::Study => ["学业", "學業", "Study"],
            HelpCategory::Housing => ["住房", "住房", "Housing"],
            HelpCategory::Legal => ["法律", "法律", "Legal help"],
            HelpCategory::ReturnJob => ["回国与就业", "回國與就業", "Return and work"],
            HelpCategory::Wellbeing => ["身心健康", "身心健康", "Wellbeing"],
        }
    }

    pub fn questions(self) -> &'static [Question] {
        match self {
            HelpCategory::MedicalAdvice => {
                const {
                    &[
                        ask(
                            "since",
                            ["从哪天开始?", "從哪天開始?", "Since which day?"],
                            Answer::Date,
                        ),
                        ask(
                            "seen_doctor",
                            ["看过医生吗?", "看過醫生嗎?", "Have you seen a doctor?"],
                            Answer::YesNo,
                        ),
                        ask(
                            "medicines",
                            ["正在用什么药?", "正在用什麼藥?", "Which medicines do you take?"],
                            Answer::Text,
                        ),
                    ]
                }
            }
            HelpCategory::Supplies => {
                const {
                    &[
                        ask(
                            "people",
                            ["有几个人?", "有幾個人?", "How many people?"],
                            Answer::Number,
                        ),
                        ask(
                            "deliver_to",
                            ["送到哪里?", "送到哪裡?", "Where to deliver?"],
                            Answer::Text,
                        ),
                    ]
                }
            }
            HelpCategory::Documents => {
                const {
                    &[
                        ask(
                            "document",
                            ["哪种文书?", "哪種文書?", "Which document?"],
                            Answer::Choice(&[
                                "degree_certificate",
                                "residence",
                                "notarisation",
                                "other",
                            ]),
                        ),
                        ask(
                            "needed_by",
                            ["何时需要?", "何時需要?", "Needed by when?"],
                            Answer::Date,
                        ),
                    ]
                }
            }
            HelpCategory::Study => {
                const {
                    &[ask(
                        "institution",
                        ["哪所学校?", "哪所學校?", "Which institution?"],
                        Answer::Text,
                    )]
                }
            }
            HelpCategory::Housing => {
                const {
                    &[
                        ask(
                            "roof_tonight",
                            ["今晚有住处吗?", "今晚有住處嗎?", "Have you a place tonight?"],
                            Answer::YesNo,
                        ),
                        ask(
                            "leave_by",
                            ["何时须搬走?", "何時須搬走?", "When do you have to leave?"],
                            Answer::Date,
                        ),
                    ]
                }
            }
            HelpCategory::Legal => {
                const {
                    &[ask(
                        "deadline",
                        ["有期限吗?哪天?", "有期限嗎?哪天?", "Is there a deadline? Which day?"],
                        Answer::Date,
                    )]
                }
            }
            HelpCategory::ReturnJob => {
                const {
                    &[ask(
                        "return_on",
                        ["打算何时回国?", "打算何時回國?", "When do you plan to return?"],
                        Answer::Date,
                    )]
                }
            }
            HelpCategory::Wellbeing => {
                const {
                    &[ask(
                        "call_back",
                        ["希望回电吗?", "希望回電嗎?", "Would you like a call?"],
                        Answer::YesNo,
                    )]
                }
            }
        }
    }

    /// Checks an answer to one of the questions. Every question may be left out.
    pub fn check(self, question: &str, answer: &str, field: &str) -> Result<(), Invalid> {
        let known = self.questions().iter().find(|known| known.code == question);
        let Some(known) = known else {
            let codes: Vec<_> = self.questions().iter().map(|known| known.code).collect();
            return Err(Invalid::new(field, "unknown_question").hint(codes.join(", ")));
        };
        let wrong = |hint: &str| Err(Invalid::new(field, "answer_malformed").hint(hint));
        match known.answer {
            Answer::Text => text::body(answer, field, ANSWER_MAX).map(drop),
            Answer::YesNo if matches!(answer, "yes" | "no") => Ok(()),
            Answer::YesNo => wrong("yes, no"),
            Answer::Number if answer.parse::<u32>().is_ok_and(|n| n <= NUMBER_MAX) => Ok(()),
            Answer::Number => wrong("0 to 1000000"),
            Answer::Date => calendar::date(answer, field).map(drop),
            Answer::Choice(choices) if choices.contains(&answer) => Ok(()),
            Answer::Choice(choices) => wrong(&choices.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_of_the_type_that_is_asked_for() {
        let check = |category: HelpCategory, question: &str, answer: &str| {
            category.check(question, answer, "content.answers").map_err(|invalid| invalid.reason)
        };
        assert_eq!(check(HelpCategory::MedicalAdvice, "since", "2023-04-22"), Ok(()));
        assert_eq!(check(HelpCategory::MedicalAdvice, "since", "lately"), Err("date_invalid"));
        assert_eq!(check(HelpCategory::MedicalAdvice, "seen_doctor", "no"), Ok(()));
        assert_eq!(check(HelpCategory::Wellbeing, "call_back", "maybe"), Err("answer_malformed"));
        assert_eq!(check(HelpCategory::Supplies, "people", "-1"), Err("answer_malformed"));
        assert_eq!(check(HelpCategory::Documents, "document", "passport"), Err("answer_malformed"));
        assert_eq!(check(HelpCategory::Legal, "since", "2023-04-22"), Err("unknown_question"));
    }

    #[test]
    fn every_category_speaks_three_languages_and_asks_something() {
        for category in HelpCategory::ALL {
            assert!(category.names()[2].is_ascii() && !category.names()[0].is_ascii());
            assert!(!category.questions().is_empty());
            for question in category.questions() {
                assert!(question.texts[2].is_ascii() && !question.texts[1].is_ascii());
            }
        }
    }
}
