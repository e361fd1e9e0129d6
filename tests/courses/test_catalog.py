"""Writing courses, and finding them."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.access import NOBODY, MemberRole
from app.db import db
from app.errors import Forbidden, Invalid, NotFound
from courses import queries
from courses.errors import CourseArchived, NothingToPublish, NotPublished, SlugTaken, VersionIsFixed
from courses.models import CourseLevel, CourseState, CourseVersion
from courses.queries import Filter
from courses.services import catalog, enrollment
from labs.models import LabTemplate
from tests.make import as_actor


def found(actor=NOBODY, **wanted):
    return [course.slug for course in db.session.scalars(queries.catalog(actor, Filter(**wanted)))]


def test_a_draft_is_seen_by_those_who_write_it_only(school):
    course = school.draft(slug="new")
    colleague = as_actor(school.make.member(school.partner, MemberRole.TEACHER))

    assert queries.course(school.as_teacher, "new").id == course.id
    for actor in (NOBODY, colleague):
        with pytest.raises(NotFound):
            queries.course(actor, "new")
    assert found(school.as_teacher) == []


def test_students_write_no_courses(school):
    student = as_actor(school.student())

    with pytest.raises(Forbidden):
        catalog.draft(
            student,
            partner_id=school.partner.id,
            slug="mine",
            title_zh="我",
            title_en="Mine",
            summary_zh="",
            summary_en="",
            level=CourseLevel.BEGINNER,
            hours=1,
        )


def test_only_who_answers_for_a_course_writes_in_it(school):
    course = school.draft()
    colleague = as_actor(school.make.member(school.partner, MemberRole.TEACHER))

    for act in (catalog.publish, catalog.revise, catalog.archive):
        with pytest.raises(Forbidden):
            act(colleague, course.id)


def test_a_short_name_is_used_once_and_the_refusal_leaves_the_transaction_whole(school):
    school.draft(slug="twice")

    with pytest.raises(SlugTaken):
        school.draft(slug="twice")

    assert queries.course(school.as_teacher, "twice")


def test_units_stand_in_the_order_in_which_they_were_added(school):
    course = school.draft()
    added = [school.text(course), school.lab(course), school.text(course)]

    version = catalog.publish(school.as_teacher, course.id)

    assert [unit.id for unit in queries.units(version.id)] == [unit.id for unit in added]
    assert [unit.position for unit in queries.units(version.id)] == [1, 2, 3]


def test_an_empty_course_cannot_be_published(school):
    with pytest.raises(NothingToPublish):
        catalog.publish(school.as_teacher, school.draft().id)


def test_a_published_version_takes_no_more_units(school):
    course = school.course()

    with pytest.raises(VersionIsFixed):
        school.text(course)


def test_a_new_version_starts_as_a_copy_and_leaves_the_old_one_alone(school):
    course = school.course()
    old = queries.published_version(course.id)

    new = catalog.revise(school.as_teacher, course.id)
    school.text(course, title_en="More")

    assert new.number == 2
    assert [unit.title_en for unit in queries.units(new.id)] == ["Introduction", "The first lab", "More"]
    assert [unit.title_en for unit in queries.units(old.id)] == ["Introduction", "The first lab"]
    assert queries.published_version(course.id).id == old.id
    assert catalog.revise(school.as_teacher, course.id).id == new.id


def test_the_database_allows_one_version_in_the_making(school):
    course = school.draft()

    db.session.add(CourseVersion(course_id=course.id, number=2))

    with pytest.raises(IntegrityError):
        db.session.flush()


def test_a_lab_uses_a_template_of_the_courses_partner(school):
    course = school.draft()
    school.lab(course)
    template = db.session.scalar(sa.select(LabTemplate))
    template.partner_id = school.make.partner().id

    with pytest.raises(Invalid):
        school.lab(course, lab_template_id=template.id)


def test_an_archived_course_leaves_the_catalog_and_takes_no_runs(school):
    course = school.course(slug="old")
    catalog.archive(school.as_teacher, course.id)

    assert found() == []
    assert course.state is CourseState.ARCHIVED
    with pytest.raises(CourseArchived):
        school.run(course)
    with pytest.raises(CourseArchived):
        catalog.publish(school.as_teacher, course.id)


def test_an_archived_course_is_still_there_for_those_who_take_it(school):
    course = school.course(slug="old")
    run = school.run(course)
    student = school.student()
    enrollment.enroll(as_actor(student), run.id, student.id)
    catalog.archive(school.as_teacher, course.id)

    assert queries.course(as_actor(student), "old")
    with pytest.raises(NotFound):
        queries.course(as_actor(school.student()), "old")


def test_a_draft_has_no_runs(school):
    with pytest.raises(NotPublished):
        school.run(school.draft())


@pytest.mark.parametrize(
    ("words", "slugs"),
    [
        ("神经", ["dl"]),
        ("NEURON", ["dl"]),
        ("物联网 数据", ["iot"]),
        ("物联网 neuron", []),
        ("Lin", ["dl", "iot"]),
        ("滨海", ["dl", "iot"]),
        ("100%", ["iot"]),
        ("_", []),
        ("", ["dl", "iot"]),
    ],
)
def test_search_finds_words_anywhere_in_both_languages(school, words, slugs):
    school.course(slug="dl", summary_zh="从一个神经元开始。")
    school.course(
        slug="iot",
        title_zh="物联网数据分析",
        title_en="IoT data analysis",
        summary_zh="传感器。",
        summary_en="Sensors, 100% practical.",
    )

    assert sorted(found(text=words)) == slugs


def test_filters_and_orders(school):
    school.course(slug="b", title_en="banana", hours=5, level=CourseLevel.ADVANCED)
    school.course(slug="a", title_en="Apple", hours=9)
    school.course(slug="c", title_en="Cherry", hours=1)

    assert found(sort="title", language="en") == ["a", "b", "c"]
    assert found(sort="hours") == ["c", "b", "a"]
    assert found(sort="-hours") == ["a", "b", "c"]
    assert found(level=CourseLevel.ADVANCED) == ["b"]
    assert len(found(partner=school.partner.slug)) == 3
    assert found(partner="elsewhere") == []
