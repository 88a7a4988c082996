"""Every operation of CodeBuild that the local cloud has."""

from over_the_wire import SUFFIX, client, make_role, refused, report, until, zipped

api = client("codebuild")
s3 = client("s3")
project = f"conformance-{SUFFIX}"
bucket = f"conformance-build-{SUFFIX}"
group = f"{project}-tests"

JUNIT = """<?xml version="1.0"?>
<testsuite name="unit" tests="2" failures="1">
  <testcase classname="unit" name="adds" time="0.01"/>
  <testcase classname="unit" name="divides" time="0.02"><failure message="by zero">stack</failure></testcase>
</testsuite>
"""
BUILDSPEC = """
version: 0.2
env:
  exported-variables: [VERDICT]
phases:
  build:
    commands:
      - export VERDICT=sound
      - mkdir -p out && cp junit.xml out/
      - if [ "$FAIL" = yes ]; then exit 3; fi
      - if [ "$WAIT" = yes ]; then sleep 600; fi
reports:
  tests:
    base-directory: out
    files: ['*.xml']
    file-format: JUNITXML
artifacts:
  files: [junit.xml]
"""


def declaration(**more):
    return {
        "name": project,
        "source": {"type": "S3", "location": f"{bucket}/source.zip", "buildspec": BUILDSPEC},
        "artifacts": {"type": "S3", "location": bucket, "path": "out", "name": "built.zip", "packaging": "ZIP"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "environmentVariables": [{"name": "GREETING", "value": "hello", "type": "PLAINTEXT"}],
        },
        "serviceRole": service_role,
        **more,
    }


def info(build):
    return api.batch_get_builds(ids=[build])["builds"][0]


def ended(build, status):
    def ask():
        found = info(build)["buildStatus"]
        assert found in ("IN_PROGRESS", status), f"{build} ended as {found}: {info(build)}"
        return found == status

    return until(f"{status} of {build}", ask)


def start(**variables):
    override = [{"name": name, "value": value} for name, value in variables.items()]
    return api.start_build(projectName=project, environmentVariablesOverride=override)["build"]["id"]


s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket=bucket, Key="source.zip", Body=zipped(junit__xml=JUNIT))
service_role = make_role(f"conformance-build-{SUFFIX}", "codebuild", "s3:*", "codebuild:*", "logs:*")

made = api.create_project(**declaration(), tags=[{"key": "team", "value": "signals"}])["project"]
assert made["arn"].endswith(f":project/{project}") and made["created"], made
refused(api, "ResourceAlreadyExistsException", "create_project", **declaration())
refused(api, "InvalidInputException", "create_project", **declaration(name=f"{project}-bad", timeoutInMinutes=5, source={
    "type": "S3",
}))
refused(api, "ResourceNotFoundException", "start_build", projectName="absent")
updated = api.update_project(name=project, description="changed", timeoutInMinutes=30)["project"]
assert updated["description"] == "changed" and updated["timeoutInMinutes"] == 30
found = api.batch_get_projects(names=[project, "absent"])
assert len(found["projects"]) == 1 and found["projectsNotFound"] == ["absent"]
pages = api.get_paginator("list_projects").paginate(sortBy="NAME", sortOrder="ASCENDING")
names = [one for page in pages for one in page["projects"]]
assert project in names and names == sorted(names), names
api.list_curated_environment_images()

good = start()
ended(good, "SUCCEEDED")
build = info(good)
assert {"name": "VERDICT", "value": "sound"} in build["exportedEnvironmentVariables"], build
phases = [one["phaseType"] for one in build["phases"]]
assert phases[0] == "SUBMITTED" and phases[-1] == "COMPLETED" and "BUILD" in phases, phases
assert s3.head_object(Bucket=bucket, Key="out/built.zip")["ContentLength"] > 0
refused(api, "ResourceNotFoundException", "stop_build", id=f"{project}:11111111-1111-4111-8111-111111111111")

bad = start(FAIL="yes")
ended(bad, "FAILED")
failed = next(one for one in info(bad)["phases"] if one["phaseType"] == "BUILD")
assert failed["phaseStatus"] == "FAILED" and "exit status 3" in failed["contexts"][0]["message"], failed
again = api.retry_build(id=bad)["build"]["id"]
assert again != bad
ended(again, "FAILED")

long = start(WAIT="yes")
until("the build's phase", lambda: info(long)["currentPhase"] == "BUILD")
api.stop_build(id=long)
ended(long, "STOPPED")

builds = [one for page in api.get_paginator("list_builds").paginate() for one in page["ids"]]
assert {good, bad, again, long} <= set(builds)
pages = api.get_paginator("list_builds_for_project").paginate(projectName=project, sortOrder="DESCENDING")
assert [one for page in pages for one in page["ids"]] == [long, again, bad, good]

api.create_report_group(name=f"{project}-by-hand", type="TEST", exportConfig={"exportConfigType": "NO_EXPORT"})
groups = [one for page in api.get_paginator("list_report_groups").paginate() for one in page["reportGroups"]]
mine = [one for one in groups if one.endswith(f"/{group}")]
assert len(mine) == 1 and any(one.endswith("-by-hand") for one in groups), groups
assert api.batch_get_report_groups(reportGroupArns=mine)["reportGroups"][0]["name"] == group
pages = api.get_paginator("list_reports_for_report_group").paginate(reportGroupArn=mine[0])
reports = [one for page in pages for one in page["reports"]]
assert reports
report_of = api.batch_get_reports(reportArns=reports[:1])["reports"][0]
assert report_of["testSummary"]["total"] == 2 and report_of["status"] == "FAILED", report_of
cases = api.describe_test_cases(reportArn=reports[0])["testCases"]
assert sorted(one["status"] for one in cases) == ["FAILED", "SUCCEEDED"], cases
refused(api, "ResourceNotFoundException", "describe_test_cases", reportArn=reports[0][:-4] + "0000")

deleted = api.batch_delete_builds(ids=[again])
assert again in deleted["buildsDeleted"][0], deleted
api.delete_project(name=project)
refused(api, "ResourceNotFoundException", "update_project", name=project, description="gone")
report("codebuild")
