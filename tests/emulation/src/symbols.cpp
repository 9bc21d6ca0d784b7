// Kernels are often in anonymous namespaces or instantiated in an executable, where the dynamic
// symbol table does not list them; so the full symbol table is read from the module's file, once
// per module.
//
// A variable that is local to a function has the mangled name _ZZ<function>E<variable>, from which
// the
// __shared__ variables (thread-local ones) of a kernel are known.
#include "symbols.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

// The dynamic linker's own entry to thread-local storage, which it allocates when needed.
extern "C" {
struct EmulationTlsIndex {
  unsigned long module;
  unsigned long offset;
};
void* __tls_get_addr(EmulationTlsIndex* index);
}

namespace emulation::detail {
namespace {

// The symbol table of one module as it stands in its file; searched once per kernel, not indexed,
// because most processes ask for a few kernels of very many symbols.
struct Symbols {
  std::vector<ElfW(Sym)> entries;
  std::vector<char> names;

  std::string_view name_of(const ElfW(Sym) & symbol) const {
    return symbol.st_name < names.size() ? std::string_view(names.data() + symbol.st_name)
                                         : std::string_view();
  }
};

template <typename T>
bool read_at(std::ifstream& file, std::uint64_t offset, std::vector<T>& items) {
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(items.data()),
            static_cast<std::streamsize>(items.size() * sizeof(T)));
  return static_cast<bool>(file);
}

Symbols read_symbols(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<ElfW(Ehdr)> header(1);
  if (!file || !read_at(file, 0, header)) return {};
  if (header[0].e_ident[EI_MAG0] != ELFMAG0 || header[0].e_ident[EI_MAG1] != ELFMAG1) return {};
  std::vector<ElfW(Shdr)> sections(header[0].e_shnum);
  if (sections.empty() || !read_at(file, header[0].e_shoff, sections)) return {};
  for (const auto& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    Symbols symbols;
    symbols.entries.resize(section.sh_size / sizeof(ElfW(Sym)));
    symbols.names.resize(sections[section.sh_link].sh_size);
    if (symbols.names.empty() || !read_at(file, section.sh_offset, symbols.entries) ||
        !read_at(file, sections[section.sh_link].sh_offset, symbols.names)) {
      return {};
    }
    symbols.names.back() = '\0';
    return symbols;
  }
  return {};
}

struct Module {
  const void* function = nullptr;  // sought
  bool found = false;
  std::uintptr_t base = 0;
  std::string path;
  std::size_t tls = 0;
};

int visit_module(dl_phdr_info* info, std::size_t, void* raw) {
  Module& module = *static_cast<Module*>(raw);
  const auto address = reinterpret_cast<std::uintptr_t>(module.function);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type != PT_LOAD || address < begin || address - begin >= segment.p_memsz) {
      continue;
    }
    module.found = true;
    module.base = info->dlpi_addr;
    module.path = info->dlpi_name[0] != '\0' ? info->dlpi_name : "/proc/self/exe";
    module.tls = info->dlpi_tls_modid;
    return 1;
  }
  return 0;
}

std::string demangle(const std::string& name) {
  int status = 0;
  char* plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  if (status != 0 || plain == nullptr) return name;
  std::string text = plain;
  std::free(plain);
  // Cut the parameters: from the parenthesis that matches the last one.
  int depth = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] == ')') ++depth;
    if (text[i] == '(' && --depth == 0) {
      text.resize(i);
      break;
    }
  }
  if (text.starts_with("void ")) text.erase(0, 5);  // of template instances
  return text;
}

KernelInfo describe(const void* function) {
  KernelInfo info;
  Module module;
  module.function = function;
  dl_iterate_phdr(visit_module, &module);
  char address[32];
  if (!module.found) {
    std::snprintf(address, sizeof address, "at %p", function);
    info.name = address;
    return info;
  }
  static auto& modules = *new std::map<std::string, Symbols>;
  const auto [entry, fresh] = modules.try_emplace(module.path);
  if (fresh) entry->second = read_symbols(module.path);
  const Symbols& symbols = entry->second;

  const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(function) - module.base;
  const auto defines = [](const auto& symbol, unsigned int type) {
    return (symbol.st_info & 0xfU) == type && symbol.st_shndx != SHN_UNDEF;
  };
  std::string mangled;
  for (const auto& symbol : symbols.entries) {
    if (symbol.st_value == offset && defines(symbol, STT_FUNC)) {
      mangled = symbols.name_of(symbol);
      break;
    }
  }
  if (mangled.empty()) {
    std::snprintf(address, sizeof address, "+0x%zx", static_cast<std::size_t>(offset));
    info.name = module.path + address;
    return info;
  }
  info.name = demangle(mangled);
  info.module = module.tls;
  if (mangled.starts_with("_Z") && module.tls != 0) {
    const std::string prefix = "_ZZ" + mangled.substr(2) + "E";
    for (const auto& symbol : symbols.entries) {
      if (!defines(symbol, STT_TLS) || !symbols.name_of(symbol).starts_with(prefix)) continue;
      info.shared.push_back(SharedVariable{symbol.st_value, symbol.st_size});
      info.shared_bytes += symbol.st_size;
    }
  }
  return info;
}

}  // namespace

const KernelInfo& kernel_info(const void* function) {
  static std::mutex mutex;
  static auto& known = *new std::unordered_map<const void*, KernelInfo>;
  const std::lock_guard lock(mutex);
  const auto found = known.find(function);
  if (found != known.end()) return found->second;
  return known.emplace(function, describe(function)).first->second;
}

unsigned char* address_of(std::size_t module, const SharedVariable& variable) {
  EmulationTlsIndex index{module, variable.offset};
  return static_cast<unsigned char*>(__tls_get_addr(&index));
}

}  // namespace emulation::detail
