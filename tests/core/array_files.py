"""Arrays between NumPy and the program (tests/core/array_file_test.cpp).

usage: array_files.py write DIR    files of every type and order that NumPy has for the program
       array_files.py check DIR    files that the program wrote: the bits of the same numbers
exit code 77 when NumPy or netCDF4 is not installed.

Element i, in C order, of a signed type is (7 i mod 23) - 11, of an unsigned one 7 i mod 23, of a
boolean i mod 3 == 0, of a float ((7 i mod 23) - 11) / 4.
"""
import sys

try:
    import netCDF4
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def numbers(kind, shape):
    i = np.arange(int(np.prod(shape))).reshape(shape)
    if kind == "b":
        return i % 3 == 0
    if kind == "u":
        return 7 * i % 23
    signed = 7 * i % 23 - 11
    return signed / 4 if kind == "f" else signed


def write(folder):
    for name in ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]:
        values = numbers(name[0], (2, 3, 4)).astype("<" + name)
        np.save(f"{folder}/{name}.npy", values)
        np.save(f"{folder}/{name}_fortran.npy", np.asfortranarray(values))
    for version in [(1, 0), (2, 0), (3, 0)]:
        with open(f"{folder}/version{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, numbers("f", (5,)), version=version)
    np.save(f"{folder}/scalar.npy", np.float64(2.5))
    np.save(f"{folder}/nothing.npy", np.zeros((0, 3)))
    half = np.arange(65536, dtype=np.uint16).view(np.float16)
    np.save(f"{folder}/every_half.npy", half)
    np.save(f"{folder}/every_half_as_double.npy", half.astype(np.float64))

    np.save(f"{folder}/big_endian.npy", numbers("f", (3,)).astype(">f8"))
    np.save(f"{folder}/complex.npy", np.ones(3, dtype=complex))
    np.save(f"{folder}/objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.save(f"{folder}/structured.npy", np.zeros(2, dtype=[("a", "f8"), ("b", "i4")]))
    np.save(f"{folder}/texts.npy", np.array(["a", "bc"]))
    np.save(f"{folder}/dates.npy", np.array(["2020-01-01"], dtype="datetime64[D]"))
    np.save(f"{folder}/long_double.npy", np.ones(2, dtype=np.longdouble))
    np.savez(f"{folder}/archive.npz", a=np.ones(2))
    np.savez_compressed(f"{folder}/packed.npz", a=np.ones(2), b=np.full(200, 0.5, dtype=np.float32))

    np.savetxt(f"{folder}/plain.csv", numbers("f", (4, 3)), delimiter=",")
    np.savetxt(f"{folder}/names.csv", numbers("f", (4, 3)), delimiter=",", header="a,b,c", comments="")
    np.savetxt(f"{folder}/comment.csv", numbers("f", (4, 3)), delimiter=",", header="a,b,c")

    with netCDF4.Dataset(f"{folder}/types.nc", "w") as file:
        group = file.createGroup("family_0").createGroup("inner")
        for n, dimension in enumerate("abc"):
            group.createDimension(dimension, 2 + n)
        for name in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]:
            group.createVariable("v_" + name, name, ("a", "b", "c"))[:] = numbers(name[0], (2, 3, 4))
        group.createVariable("words", str, ("a",))
        group.createVariable("letters", "S1", ("a",))
    with netCDF4.Dataset(f"{folder}/one.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("x", 3)
        file.createVariable("x", "f8", ("x",))[:] = [10, 20, 30]
        file.createVariable("value", "f4", ("x",))[:] = numbers("f", (3,))
    with netCDF4.Dataset(f"{folder}/packed.nc", "w") as file:
        file.createDimension("x", 3)
        variable = file.createVariable("packed", "i2", ("x",), fill_value=-9)
        variable.set_auto_maskandscale(False)
        variable.scale_factor, variable.add_offset = 0.5, 100.0
        variable[:] = [4, -9, 6]
    with netCDF4.Dataset(f"{folder}/huge.nc", "w") as file:
        file.createDimension("x", 2**40)
        file.createVariable("huge", "f8", ("x",), chunksizes=(1024,))


def check(folder):
    expected = numbers("f", (2, 3, 4))
    found = np.load(f"{folder}/cube.npy")
    assert found.dtype == np.dtype("<f8") and not np.isfortran(found)
    np.testing.assert_array_equal(found, expected)
    with open(f"{folder}/cube.npy", "rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        np.lib.format.read_array_header_1_0(file)
        assert file.tell() % 64 == 0
    assert np.load(f"{folder}/cube.npy", mmap_mode="r").shape == (2, 3, 4)
    assert np.load(f"{folder}/vector.npy").shape == (5,)
    assert np.load(f"{folder}/scalar.npy").shape == ()
    assert np.load(f"{folder}/nothing.npy").shape == (0, 3)
    mask = np.load(f"{folder}/mask.npy")
    assert mask.dtype == np.dtype(bool) and (mask == numbers("b", (5,))).all()
    odd = np.array([0.1, -0.0, 5e-324, 1.7976931348623157e308, np.inf, -np.inf, np.nan])
    bits = odd.view(np.int64)
    assert (np.load(f"{folder}/odd.npy").view(np.int64) == bits).all()
    assert (np.loadtxt(f"{folder}/odd.csv", delimiter=",").view(np.int64) == bits).all()
    table = np.loadtxt(f"{folder}/table.csv", delimiter=",")
    np.testing.assert_array_equal(table, numbers("f", (4, 3)))
    with netCDF4.Dataset(f"{folder}/cube.nc") as file:
        variable = file["group/inner/cube"]
        variable.set_auto_mask(False)
        assert variable.dimensions == ("cube_0", "cube_1", "cube_2") and variable.dtype == np.float64
        np.testing.assert_array_equal(variable[:], expected)


{"write": write, "check": check}[sys.argv[1]](sys.argv[2])
print("array_files: done")
